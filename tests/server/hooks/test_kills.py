"""Hooks across `kill -9` of real servers: each notice at least once, one id for each, in order."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from syncd_client.transport import request

from examples.server_process import ServerProcess
from tests.harness import SECRET, mint, until
from tests.server.hooks.bench import SECRET as KEY
from tests.server.hooks.receiver import Got, Receiver, receiving

TOKEN = mint("user:mona", ("transcript", "admin"))
#: A server that stops for good at a point that its environment names, as `kill -9` would.
DYING = """
import os, signal, sys
from syncd.server.hooks import outbox, engine
from syncd.store.outbox import HookStore

point, marker = os.environ["DIE_AT"], os.environ["DIE_ONCE"]

def die():
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

def before(kind, name):
    real = getattr(kind, name)
    async def wrapped(self, *args, **kwargs):
        die()
        return await real(self, *args, **kwargs)
    setattr(kind, name, wrapped)

def after(kind, name):
    real = getattr(kind, name)
    async def wrapped(self, *args, **kwargs):
        result = await real(self, *args, **kwargs)
        die()
        return result
    setattr(kind, name, wrapped)

def between(kind, name):
    real = getattr(kind, name)
    def wrapped(self, *args, **kwargs):
        die()
        return real(self, *args, **kwargs)
    setattr(kind, name, wrapped)

{
    "before the engine's commit": lambda: before(HookStore, "commit"),
    "after the engine's commit": lambda: after(HookStore, "commit"),
    "before the send": lambda: before(outbox.Outbox, "_attempt"),
    "after the send": lambda: after(outbox.Outbox, "_attempt"),
    "before the mark": lambda: before(HookStore, "mark"),
    "after the mark": lambda: after(HookStore, "mark"),
}[point]()

from syncd.cli.main import main
main()
"""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as here:
        yield here


def server_of(path: Path, receiver: Receiver, *, program: tuple[str, ...] = ("-m", "syncd")) -> ServerProcess:
    """A server whose webhooks go to the receiver, not started."""
    file = path / "hooks.toml"
    file.write_text(f"""
[hooks]
allow = ["127.0.0.1"]
retry_s = [{", ".join(["0.2"] * 40)}]
[[hooks.targets]]
name = "crm"
channel = "webhook"
url = "{receiver.url()}"
secrets = ["{KEY}"]
per_s = 1000
[[hooks.rules]]
name = "said"
on = ["message.created"]
channel = "webhook"
target = "crm"
""")
    return ServerProcess(path / "syncd.db", keys=SECRET, settings={"HOOKS": str(file)}, program=program)


async def post(url: str, text: str) -> None:
    """Say something; returned once it is acked."""
    await request(url, "POST", "/v1/sessions/trip/messages", token=TOKEN, body={"text": text})


async def quiet(url: str, count: int) -> list[dict[str, Any]]:
    """Wait until so many were made and nothing waits to be delivered; return the log of hooks."""
    async with asyncio.timeout(60):
        while True:
            answer = await request(url, "GET", "/v1/hooks/log", token=TOKEN, query={"limit": "500"})
            found: list[dict[str, Any]] = answer["deliveries"]
            if len(found) >= count and all(d["state"] != "pending" for d in found):
                return found
            await asyncio.sleep(0.05)


def texts(got: list[Got]) -> list[str]:
    """What was told, each once, in the order it first came."""
    return list(dict.fromkeys(one.json["data"]["text"] for one in got))


@pytest.mark.parametrize(
    ("point", "copies"),
    [
        ("before the engine's commit", 1),
        ("after the engine's commit", 1),
        ("before the send", 1),
        ("after the send", 2),
        ("before the mark", 2),
        ("after the mark", 1),
    ],
)
async def test_a_kill_at_any_point_loses_no_notice(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, point: str, copies: int
) -> None:
    """Killed between commit and sending, it is sent afterwards; between that and the mark, again, with its id."""
    program = tmp_path / "dying.py"
    program.write_text(DYING)
    monkeypatch.setenv("DIE_AT", point)
    monkeypatch.setenv("DIE_ONCE", str(tmp_path / "died"))
    server = server_of(tmp_path, receiver, program=(str(program),))
    try:
        await server.start()
        await request(server.url, "POST", "/v1/sessions", token=TOKEN, body={"session": "trip"})
        await post(server.url, "hello")
        async with asyncio.timeout(30):
            assert await server.ended() == -signal.SIGKILL
        await server.start()
        (delivery,) = await quiet(server.url, 1)
    finally:
        await server.kill()

    assert delivery["state"] == "sent"
    assert texts(receiver.got) == ["hello"]
    assert receiver.ids() == [delivery["id"]] * copies


async def test_kills_under_load_lose_nothing_and_keep_order(tmp_path: Path, receiver: Receiver) -> None:
    """Whatever was acked is told, in its order, each under one id; a receiver that fails at times changes nothing."""
    count = 0

    def answer(_: Got) -> int:
        nonlocal count
        count += 1
        return 503 if count % 7 == 0 else 200

    receiver.answer = answer
    server = server_of(tmp_path, receiver)
    acked: list[str] = []
    try:
        await server.start()
        await request(server.url, "POST", "/v1/sessions", token=TOKEN, body={"session": "trip"})
        for kill in range(4):
            for number in range(15):
                text = f"{kill}-{number}"
                await post(server.url, text)
                acked.append(text)
                if number == 5:
                    # Some of it is told by now, some is not.
                    await until(lambda: receiver.got, "a webhook")
            await server.kill()
            await server.start()
        deliveries = await quiet(server.url, len(acked))
    finally:
        await server.kill()

    assert len(deliveries) == len(acked)
    assert {d["state"] for d in deliveries} == {"sent"}
    by_text: dict[str, set[str]] = {}
    for got in receiver.got:
        by_text.setdefault(got.json["data"]["text"], set()).add(got.id)
    assert set(by_text) == set(acked)
    assert all(len(ids) == 1 for ids in by_text.values())
    taken = texts(receiver.got)
    assert taken == acked
    print(f"\nacked {len(acked)}, requests {len(receiver.got)}, kills 4, lost 0")
