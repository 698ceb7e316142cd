"""Trouble: what a person at a terminal is told when something does not work, one sentence and the next step.

Knows which error means what to a person. Never shows a traceback for what is not a bug.
"""

import errno
import sys

from syncd.cli.words import clean
from syncd.core.errors import SyncdError

FAILED = 1
USAGE = 2


class Trouble(SyncdError):
    """A command cannot go on. The message is one sentence with the next step; `exit_code` is the process'."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def say(message: str) -> None:
    """Print one line of trouble on standard error."""
    red, off = ("\x1b[1;31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    sys.stderr.write(f"{red}syncd:{off} {clean(message)}\n")
    sys.stderr.flush()


def explain(error: SyncdError | OSError) -> tuple[str, int]:
    """Return what to say about `error`, and the exit code."""
    if isinstance(error, Trouble):
        return str(error), error.exit_code
    # Imported late: these need the network's libraries, which most commands that fail early never load.
    from syncd_client.transport import RequestFailed, Unreachable

    from syncd.server.config import ConfigError

    if isinstance(error, ConfigError):
        return str(error), USAGE
    if isinstance(error, Unreachable):
        return f"{error}. Is it running (`syncd serve`), and is its address right (--url, SYNCD_URL)?", FAILED
    if isinstance(error, RequestFailed) and error.status == 401:
        said = str(error).removesuffix(".")
        return f"{said}. Set SYNCD_TOKEN, or name a file by --token-file; `syncd token` makes one.", FAILED
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "the port is in use: stop what listens there, or choose another one by --port (0 finds one)", FAILED
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; check the path and its permissions", FAILED
    return str(error), FAILED
