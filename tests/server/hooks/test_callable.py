"""Functions of the program: told with the same guarantees as everybody else, by real sessions."""

import asyncio
import re
import threading
from functools import partial
from pathlib import Path

import pytest

from syncd.core.errors import LocalProtocolError
from syncd.server.app import Server
from syncd.server.hooks.channel import Notice, Retry
from syncd.server.hooks.hooks import Hooks
from tests.harness import PATIENCE_S, make_server, until
from tests.server.hooks.bench import Bench, bench, config_of


async def post(server: Server, text: str, *, session: str = "trip") -> str:
    """Say something as Mona; return the message's id."""
    await server.services.sessions.create(session)
    grant = server.services.auth.admit(server.services.auth.mint("user:mona", {"*": ["transcript"]}).token, "here")
    return str((await server.services.sessions.post(session, grant, text=text))["message"])


def quiet(server: Server) -> bool:
    """Whether nothing waits to be told."""
    assert server.services.hooks is not None
    return not server.services.hooks.pending


async def test_a_function_is_told_what_happens(tmp_path: Path) -> None:
    """`@server.on`: in order, an ordinary function in a thread, with fields that say which events."""
    server = make_server(tmp_path / "syncd.db")
    told: list[str] = []
    threads: set[int] = set()

    @server.on("message.created")
    async def heard(notice: Notice) -> None:
        (event,) = notice.events
        told.append(event["data"]["text"])

    @server.on("message.created", name="other", sessions="other-*")
    def elsewhere(notice: Notice) -> None:
        threads.add(threading.get_ident())
        told.append(f"elsewhere {notice.session}")

    await server.start()
    try:
        for number in range(5):
            await post(server, f"text {number}")
        await until(lambda: len(told) == 5, "the calls")
        await post(server, "there", session="other-1")
        await until(lambda: len(told) == 7, "the other call")
    finally:
        await server.stop()

    assert told[:5] == [f"text {number}" for number in range(5)]
    assert sorted(told[5:]) == ["elsewhere other-1", "there"]
    assert threading.get_ident() not in threads


async def test_a_function_that_fails_is_called_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same id, and what comes later waits; across a restart too, when it is registered again."""
    hooks = tmp_path / "hooks.toml"
    hooks.write_text("[hooks]\nretry_s = [0.05, 0.05, 5]\n")
    calls: list[tuple[str, str, int]] = []
    ready = False

    def register(server: Server) -> None:
        @server.on("message.created", name="flaky")
        async def flaky(notice: Notice) -> object:
            calls.append((notice.id, notice.events[0]["data"]["text"], notice.attempt))
            if not ready and notice.attempt > 1:
                return Retry(0.05, "not now")
            if not ready:
                raise RuntimeError("not yet")
            return None

    for start in range(2):
        server = make_server(tmp_path / "syncd.db", hooks=hooks)
        register(server)
        await server.start()
        try:
            if not start:
                await post(server, "first")
                await post(server, "second")
                await until(lambda: len(calls) >= 3, "calls")
                ready = True
            else:
                await until(lambda: calls[-1][1] == "second", "the second's call")
                await until(partial(quiet, server), "the end")
        finally:
            await server.stop()

    first = [call for call in calls if call[1] == "first"]
    assert len({id for id, _, _ in first}) == 1
    assert calls == [*first, *[call for call in calls if call[1] == "second"]]
    assert [attempt for _, _, attempt in first] == sorted({attempt for _, _, attempt in first})


async def test_a_function_that_hangs_holds_up_no_session(tmp_path: Path) -> None:
    """Nor any other function, nor the server's end."""
    server = make_server(tmp_path / "syncd.db")
    hang, told = asyncio.Event(), []

    @server.on("message.created")
    async def hangs(notice: Notice) -> None:
        await hang.wait()

    @server.on("message.created")
    async def goes_on(notice: Notice) -> None:
        told.append(notice.id)

    await server.start()
    try:
        for number in range(20):
            await post(server, f"text {number}")
        await until(lambda: len(told) == 20, "the other function's calls")
    finally:
        await server.stop()


async def test_an_ordinary_function_that_hangs_holds_up_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not called again while its last call goes on, and other threads of the process are there for others."""
    monkeypatch.setattr("syncd.server.hooks.outbox._DEFAULT_TIMEOUT_S", 0.05)
    monkeypatch.setattr("syncd.server.hooks.outbox._EXTRA_S", 0.0)
    calls: list[int] = []
    told: list[Notice] = []
    go = threading.Event()

    def hangs(notice: Notice) -> None:
        calls.append(notice.attempt)
        go.wait(60)

    def before(hooks: Hooks) -> None:
        hooks.on("message.created")(hangs)
        hooks.on("message.created", name="other")(told.append)

    try:
        async with bench(tmp_path, config_of(retry_s=[0.02] * 5_000), before=before) as here:
            await here.message("user:mona", 1)
            await until(lambda: calls and told, "the calls")
            # More attempts than the process has threads for such things.
            await until(lambda: attempts_that_failed(here) > 40, "further attempts")
            assert (calls, len({notice.id for notice in told})) == ([1], 1)
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.to_thread(calls.append, 0)
            go.set()
            await here.settled()
            assert calls[-1] > 2
    finally:
        go.set()


def attempts_that_failed(here: Bench) -> float:
    """How many attempts are to be made again."""
    page = here.hooks.metrics.render()[0].decode()
    found = re.search(r'^syncd_hook_attempts_total\{channel="call",result="retry"\} (\S+)$', page, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_what_makes_no_rule_is_refused(tmp_path: Path) -> None:
    """At once, where it was written."""
    server = make_server(tmp_path / "syncd.db")
    server.on("run.ended", name="taken")(print)

    for fields in ({"name": "taken"}, {"name": "no name"}, {"where": 5}, {"colour": "red"}):
        with pytest.raises(LocalProtocolError):
            server.on("run.ended", **{"name": "mine", **fields})(print)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="no such type"):
        server.on("run.finished", name="mine")(print)
