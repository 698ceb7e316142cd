"""The golden vectors: they are what the code writes and reads today, and what stock msgpack and Yjs make of them."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from syncd.core.codec import _CLIENT_TYPES, _SERVER_TYPES, decode_client, decode_server, encode
from syncd.core.entries import EntryKind, Snapshot, decode_binding
from syncd.core.errors import HOSTILE_CODES, RejectCode, Rejected, RemoteProtocolError
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import Unknown
from syncd.core.update import decode_update
from syncd.core.varint import decode_state_vector
from tests.node import run_node
from tests.vectors.__main__ import files
from tests.vectors.vector import PLACE, from_hex, to_hex, to_json

KINDS = {kind.__name__: kind for kind in (*_CLIENT_TYPES.values(), *_SERVER_TYPES.values())}
FRAMES = sorted(path.relative_to(PLACE).as_posix() for path in PLACE.glob("frames/*.json"))


def load(name: str) -> dict[str, Any]:
    """Return a file of vectors."""
    content: dict[str, Any] = json.loads((PLACE / name).read_text(encoding="utf-8"))
    return content


def decode(data: bytes, sender: str) -> Any:
    """Return a frame that `sender` sent."""
    return decode_server(data) if sender == "server" else decode_client(data, DEFAULT_LIMITS)


def test_the_vectors_are_what_is_written_today() -> None:
    """A change of the wire shows as a change of these files: `python -m tests.vectors` writes them anew."""
    stored = {path.relative_to(PLACE).as_posix(): path.read_text("utf-8") for path in PLACE.rglob("*.json")}

    assert stored == files()


def test_every_frame_has_vectors() -> None:
    """Each frame there is has a file, named after it."""
    assert {load(name)["frame"] for name in FRAMES} == {*KINDS, "Unknown"}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_read_as_their_vectors_say(name: str) -> None:
    """Every case decodes to its fields, and what is sent encodes to its bytes."""
    file = load(name)
    for case in file["cases"]:
        data = from_hex(case["hex"])
        message = decode(data, file["from"])
        if type(message) is Unknown:
            assert {"type": message.type, "body": to_json(message.body)} == case["values"]
            continue
        fields = {field.name: to_json(getattr(message, field.name)) for field in dataclasses.fields(message)}
        assert fields == case["values"], case["name"]
        if case["sent"]:
            assert encode(message) == data, case["name"]


def test_refused_frames_close_with_their_code() -> None:
    """None of them is read, and each says its code."""
    for case in load("refused_frames.json")["cases"]:
        with pytest.raises(RemoteProtocolError) as error:
            decode(from_hex(case["hex"]), case["from"])
        assert error.value.code == case["code"], case["name"]


def test_updates_scan_as_their_vectors_say() -> None:
    """Accepted ones hold what is written down; refused ones have their code."""
    file = load("updates.json")
    for case in file["accepted"]:
        update = decode_update(from_hex(case["hex"]), DEFAULT_LIMITS)
        ends = {str(client): structs[-1][0] + structs[-1][1] for client, structs in update.sections.items()}
        assert ends == case["ends"], case["name"]
        assert [[str(client), *span] for client, *span in update.deletes] == case["deletes"], case["name"]
    for case in file["refused"]:
        with pytest.raises(Rejected) as refusal:
            decode_update(from_hex(case["hex"]), DEFAULT_LIMITS)
        assert refusal.value.code == case["code"], case["name"]


def test_every_code_of_the_bytes_is_among_the_refused_updates() -> None:
    """All that the scan may say, it says here."""
    said = {case["code"] for case in load("updates.json")["refused"]}

    assert said == {*HOSTILE_CODES, RejectCode.TOO_LARGE}


def test_state_vectors_read_as_their_vectors_say() -> None:
    """Client id to clock, or a refusal."""
    file = load("state_vectors.json")
    clients_max = DEFAULT_LIMITS.state_vector_clients_max
    for case in file["accepted"]:
        state = decode_state_vector(from_hex(case["hex"]), clients_max=clients_max)
        assert {str(client): clock for client, clock in state.items()} == case["clocks"]
    for case in file["refused"]:
        with pytest.raises(Rejected) as refusal:
            decode_state_vector(from_hex(case["hex"]), clients_max=clients_max)
        assert refusal.value.code == case["code"], case["name"]


def test_entries_of_the_log_read_as_their_vectors_say() -> None:
    """Snapshots and bindings hold what is written down, and fields behind those known do no harm."""
    file = load("entries.json")
    assert {case["kind"] for case in file["cases"]} == set(EntryKind)
    for case in file["cases"]:
        data = from_hex(case["hex"])
        if case["kind"] == EntryKind.SNAPSHOT:
            snapshot = Snapshot.decode(data)
            assert to_json([1, *dataclasses.astuple(snapshot)]) == case["body"][:5]
        elif case["kind"] == EntryKind.BINDING:
            assert list(decode_binding(data)) == case["body"]
    for case in file["refused"]:
        with pytest.raises(ValueError):  # noqa: PT011 - any of its kinds
            Snapshot.decode(from_hex(case["hex"]))


def test_node_reads_every_vector() -> None:
    """Stock msgpack and Yjs, and rules written from the protocol's page alone, come to what the vectors say."""
    run = run_node("vectors.js", str(PLACE))
    assert run.returncode == 0, run.stderr
    passed = json.loads(run.stdout)

    expected = {path.relative_to(PLACE).as_posix(): load(path.relative_to(PLACE).as_posix()) for path in _all()}
    assert passed == {name: _count(file) for name, file in expected.items()}


def test_node_sees_what_is_wrong(tmp_path: Path) -> None:
    """A byte changed, a field changed, a refusal that is none: each is reported."""
    place = tmp_path / "v1"
    shutil.copytree(PLACE, place)
    for name, old, new in (
        ("frames/67-Ack.json", '"number": 1', '"number": 2'),
        ("frames/07-Ping.json", '"hex": "920707"', '"hex": "920708"'),
        ("refused_frames.json", '"hex": "91c3"', '"hex": "920701"'),
        ("conversation.json", '"city": "Porto"', '"city": "Lisbon"'),
        ("updates.json", '"t": "ac"', '"t": "abc"'),
    ):
        text = (place / name).read_text(encoding="utf-8")
        assert old in text
        (place / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    run = run_node("vectors.js", str(place))

    assert run.returncode == 1
    reported = set(re.findall(r"^([\w/-]+\.json), ", run.stderr, re.MULTILINE))
    assert len(reported) == 5


def test_hex_reads_as_it_was_written() -> None:
    """Long runs of one byte, line feeds among them, are written short and read back."""
    for data in (b"", b"\x00" * 255, b"\x0a" * 300 + b"\x01" + b"\xff" * 256):
        assert from_hex(to_hex(data)) == data
    assert to_hex(b"\x01" + b"\x0a" * 300) == "01(0a*300)"


def _all() -> list[Path]:
    return sorted(PLACE.rglob("*.json"))


def _count(file: dict[str, Any]) -> int:
    """Return how many cases of a file Node checks."""
    return len(file.get("cases", file.get("accepted", [None])))
