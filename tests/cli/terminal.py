"""What the terminal's tests run: commands in this process, and servers and chats as processes of their own."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
import structlog

from syncd.cli import main
from tests.harness import PATIENCE_S

#: The machine may be loaded: what is waited for is waited for as long as in all tests.
DEADLINE_S = PATIENCE_S
SECRET = "a-secret-of-at-least-thirty-two-bytes"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended, and what it printed."""

    exit_code: int
    out: str
    err: str


class Terminal:
    """Runs commands as the installed script would: `main` with arguments, standard streams and an exit code."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def setenv(self, name: str, value: str) -> None:
        """Set a variable for this test."""
        self._monkeypatch.setenv(name, value)

    def run(self, *arguments: str, lines: str = "") -> Outcome:
        """Run one command with `lines` on its standard input."""
        self._capfd.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["syncd", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        with pytest.raises(SystemExit) as ended:
            main()
        structlog.reset_defaults()
        printed = self._capfd.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, printed.out, printed.err)


class Process:
    """A command as a process of its own. Killed at the end, if it is still there."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SYNCD_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "syncd", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, **environment},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def line(self) -> str:
        """Return the next line it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def write(self, line: str) -> None:
        """Type a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def close_output(self) -> None:
        """Read no more of what it prints."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.stdout = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def ended(self) -> Outcome:
        """Wait until it has ended; return how."""
        exit_code = self._process.wait(timeout=DEADLINE_S)
        # Not by communicate(): it reads past what `line` has buffered.
        out, err = (pipe.read() if pipe is not None else "" for pipe in (self._process.stdout, self._process.stderr))
        return Outcome(exit_code, out, err)


class ServerProcess(Process):
    """`syncd serve --dev` on a port of its own; it accepts connections when this exists."""

    def __init__(self, store: Path, *arguments: str, port: int = 0, **environment: str) -> None:
        options = ("--dev", "--port", str(port), "--store", str(store), "--log-level", "error")
        super().__init__("serve", *options, *arguments, **environment)
        self.store = store
        greeting = self.line()
        match = re.search(r"serving at (http://\S+)", greeting)
        if match is None:
            self._process.kill()
            raise AssertionError(f"no server: {greeting!r} {self._process.communicate()}")
        self.url = match[1]

    @property
    def id(self) -> int:
        """The process' id."""
        return self._process.pid

    def terminate(self) -> None:
        """Stop it as an operator would, and wait for it."""
        self.signal(signal.SIGTERM)
        assert self.ended().exit_code == 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds; fail if it does not in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "this did not come about in time"
        time.sleep(0.02)
