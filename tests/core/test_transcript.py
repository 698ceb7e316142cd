"""Writing and reading a transcript: messages, streams, commands, order."""

import pytest

from syncd.core.errors import LocalProtocolError
from syncd.core.replica import Replica, SharedMap
from syncd.core.schema import NewCommand, NewMessage, Root, text_part
from syncd.core.transcript import (
    SEGMENT_BYTES,
    PartWriter,
    TranscriptView,
    put_command,
    put_message,
    put_read,
    read_commands,
    read_message,
)
from syncd.core.update import Kind


def replica() -> Replica:
    return Replica(dict.fromkeys(map(str, Root), Kind.MAP), client_id=1 << 52)


def message(id: str, *parts: dict[str, object], created_at: int = 1) -> NewMessage:
    return NewMessage(id=id, role="user", author={"kind": "user", "name": "x"}, parts=parts, created_at=created_at)


def receipt(r: Replica, key: str, seq: int) -> None:
    r.edit(lambda r: r.set((Root.RECEIPTS,), key, {"seq": seq, "by": "user:a", "at": 1}))


def test_a_writer_goes_on_with_a_part_that_is_open() -> None:
    """In another life too, in the segment that was written last; a part that is done stays so."""
    first = replica()
    put_message(first, message("m"))
    pen = PartWriter(first, "m")
    pen.append("a" * SEGMENT_BYTES)
    pen.append("b")
    second = Replica(dict.fromkeys(map(str, Root), Kind.MAP), client_id=(1 << 52) + 1)
    second.apply([first.diff()])
    pen = PartWriter(second, "m")
    pen.resume()
    pen.append("c")
    pen.finish()
    pen = PartWriter(second, "m")
    pen.resume()
    pen.append("d")
    view = read_message(second, "m")
    assert view is not None
    assert [part["text"] for part in view.parts] == ["a" * SEGMENT_BYTES + "bc", "d"]
    assert second.length(Root.MESSAGES, "m", "parts", 0, "more") == 1


def test_a_message_reads_as_it_was_written() -> None:
    """Unknown parts and fields unchanged."""
    r = replica()
    odd = {"id": "1", "type": "hologram", "provider": {"opaque": [1, {"x": None}]}, "later": "field"}
    whole = NewMessage(
        id="m", role="assistant", author={"kind": "agent", "name": "a"}, parts=(text_part("😀 hi"), odd),
        to=("user:b",),
        created_at=7, run="r", attempt=2, parent="p", fork_of="f", metadata={"k": [1]},
    )  # fmt: skip
    put_message(r, whole)
    view = read_message(r, "m")
    assert view is not None
    assert view.json() == {
        "id": "m", "role": "assistant", "author": {"kind": "agent", "name": "a"}, "created_at": 7,
        "run": "r", "attempt": 2,
        "parent": "p", "fork_of": "f", "to": ["user:b"], "metadata": {"k": [1]},
        "parts": [{"id": "0", "type": "text", "text": "😀 hi"}, odd],
    }  # fmt: skip
    assert (view.text, view.seq, view.by, view.streaming) == ("😀 hi", None, None, False)


def test_an_id_is_used_once() -> None:
    """Messages and commands alike."""
    r = replica()
    put_message(r, message("m"))
    with pytest.raises(LocalProtocolError, match="exists"):
        put_message(r, message("m"))
    command = NewCommand("c", "cancel", 1, {"run": "r"})
    put_command(r, command)
    with pytest.raises(LocalProtocolError, match="exists"):
        put_command(r, command)


def test_the_order_is_the_receipts_and_unsent_ones_are_last() -> None:
    """Clocks order only what has no receipt yet."""
    r = replica()
    for id, created_at in (("late", 9), ("early", 1), ("unsent2", 3), ("unsent1", 2)):
        put_message(r, message(id, created_at=created_at))
    receipt(r, "m:late", 1)
    receipt(r, "m:early", 2)
    assert [view.id for view in TranscriptView().messages(r)] == ["late", "early", "unsent1", "unsent2"]


def test_a_view_reads_again_only_what_was_touched() -> None:
    """And shows what was added, changed, receipted and removed."""
    r, view = replica(), TranscriptView()
    put_message(r, message("a", text_part("one")))
    put_message(r, message("b", text_part("two")))
    first = view.messages(r)
    r.edit(lambda r: r.text_append((Root.MESSAGES, "a", "parts", 0, "text"), " more"))
    assert [v.text for v in view.messages(r)] == ["one", "two"]
    view.touch([("messages", "a")])
    second = view.messages(r)
    assert [v.text for v in second] == ["one more", "two"]
    assert second[1] is first[1]
    receipt(r, "m:b", 1)
    r.edit(lambda r: r.remove((Root.MESSAGES,), "a"))
    view.touch([("receipts", "m:b"), ("messages", "a")])
    assert [(v.id, v.seq) for v in view.messages(r)] == [("b", 1)]
    assert view.message(r, "a") is None
    view.reset()
    assert len(view.messages(r)) == 1


@pytest.mark.parametrize("text", ["x" * SEGMENT_BYTES * 3, "漢😀" * SEGMENT_BYTES, "é" * (SEGMENT_BYTES // 2)])
def test_a_long_text_is_cut_into_segments_that_nobody_sees(text: str) -> None:
    """Posted at once or written bit by bit, it reads as one."""
    r = replica()
    put_message(r, message("whole", text_part(text)))
    put_message(r, message("stream"))
    writer = PartWriter(r, "stream")
    for at in range(0, len(text), 97):
        writer.append(text[at : at + 97])
    assert read_message(r, "stream").streaming  # type: ignore[union-attr]
    writer.finish()
    for id in ("whole", "stream"):
        view = read_message(r, id)
        assert view is not None
        assert (view.text, len(view.parts), view.streaming) == (text, 1, False)
    longest = max(len(str(r.read(Root.MESSAGES, "stream", "parts", 0, "text")).encode()), 0)
    assert longest <= SEGMENT_BYTES + 97 * 4


def test_parts_of_several_kinds_keep_their_order() -> None:
    """Reasoning, text and whole parts follow each other; a part that is left is done."""
    r = replica()
    put_message(r, message("m"))
    writer = PartWriter(r, "m")
    writer.append("think", kind="reasoning")
    writer.append("say")
    writer.add_part({"id": "t", "type": "tool", "name": "x"})
    writer.append("on")
    writer.finish()
    writer.finish()
    view = read_message(r, "m")
    assert view is not None
    assert [(p["type"], p.get("text")) for p in view.parts] == [
        ("reasoning", "think"), ("text", "say"), ("tool", None), ("text", "on"),
    ]  # fmt: skip
    assert view.parts[0]["state"] == view.parts[3]["state"] == "done"
    assert view.text == "say\n\non"
    with pytest.raises(LocalProtocolError):
        writer.append("x", kind="tool")
    with pytest.raises(LocalProtocolError):
        writer.append("\ud800")


def test_commands_come_in_order_with_their_receipts() -> None:
    """Those without one last."""
    r = replica()
    for id in ("b", "a", "c"):
        put_command(r, NewCommand(id, "cancel", 1, {"run": "r"}))
    receipt(r, "c:c", 1)
    receipt(r, "c:b", 2)
    assert [(c["id"], bool(c["receipt"])) for c in read_commands(r)] == [("c", True), ("b", True), ("a", False)]
    put_read(r, "user:a", seq=2, at=1)
    assert r.read(Root.READS, "user:a") == {"seq": 2, "at": 1}


@pytest.mark.parametrize("body", [5, {"role": 5, "parts": "x", "to": 7, "metadata": 3, "author": 1, "created_at": "x"}])
def test_what_others_wrote_badly_reads_without_harm(body: object) -> None:
    """A message of odd fields is shown with what is usable; one that is no map is not shown."""
    r = replica()
    r.edit(lambda r: r.set((Root.MESSAGES,), "m", SharedMap(body) if isinstance(body, dict) else body))
    views = TranscriptView().messages(r)
    assert [(v.role, v.parts, v.to) for v in views] == ([("user", (), ())] if isinstance(body, dict) else [])
