"""What sessions of the browser client write: the server's own rules take all of it, and it is what was meant."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from syncd.core.messages import Layer
from syncd.core.schema import Root
from tests.core.answers import codes, opened
from tests.core.machines import Server
from tests.node import installed

_WEB_CLIENT = Path(__file__).parents[2] / "web_client"


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """Return what two people wrote at once, push by push, and what they saw in the end."""
    node = installed()
    if node is None or not (_WEB_CLIENT / "node_modules/vite").exists():
        pytest.skip("install node and npm, and run `npm ci` in web_client, to run this test")
    run = subprocess.run(
        [node, "tests/write.mjs"], cwd=_WEB_CLIENT, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.fixture(scope="module")
def server(written: dict[str, Any]) -> Server:
    """Return a server that was pushed all of it; each push was taken."""
    server = opened("mona", "tom")
    numbers = {"mona": 0, "tom": 0}
    for push in written["pushes"]:
        by = push["by"]
        numbers[by] += 1
        server.push(by, numbers[by], bytes.fromhex(push["hex"]), Layer(push["layer"]))
        server.turn()
        assert codes(server.got(by)) == []
        assert server.drops == {}
    assert min(numbers.values()) > 50
    return server


def test_messages_are_what_was_meant(server: Server, written: dict[str, Any]) -> None:
    """Places, authors, links and parts, long texts in segments among them, are the same on both sides."""
    views = [view.json() for view in server.machine.messages()]
    texts = {view.id: view.text for view in server.machine.messages()}
    assert len(views) > 15
    for view, meant in zip(views, written["messages"], strict=True):
        assert texts[meant["id"]] == meant["text"]
        for name in ("id", "seq", "by", "role", "parts", "parent", "fork_of"):
            assert view.get(name) == meant[name], name
        assert view.get("to", []) == meant["to"]
        assert view.get("metadata", {}) == meant["metadata"]


def test_commands_and_reads_are_what_was_meant(server: Server, written: dict[str, Any]) -> None:
    """Each command has the place that the client was told, and each person has read as far as they said."""
    replica = server.machine.document(Layer.TRANSCRIPT).replica
    receipts: Any = replica.read(Root.RECEIPTS)
    for id, kind, seq, by in written["commands"]:
        command: Any = replica.read(Root.COMMANDS, id)
        assert (command["kind"], receipts[f"c:{id}"]["seq"], receipts[f"c:{id}"]["by"]) == (kind, seq, by)
    reads: Any = replica.read(Root.READS)
    assert {subject: read["seq"] for subject, read in reads.items()} == written["reads"]


def test_the_state_is_what_was_meant(server: Server, written: dict[str, Any]) -> None:
    """Of two people who wrote at once."""
    replica = server.machine.document(Layer.STATE).replica

    assert {name: replica.read(name) for name in ("screen", "notes")} == written["state"]
