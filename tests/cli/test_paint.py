"""What messages, statuses and presence look like."""

from typing import Any

import pytest
from syncd_client import Link, Status

from syncd.cli import paint
from syncd.core.errors import CloseCode
from syncd.core.messages import PresenceEntry
from syncd.core.replica import Replica
from syncd.core.schema import NewMessage, Root
from syncd.core.transcript import MessageView, put_message, read_message
from syncd.core.update import Kind


def view(*parts: dict[str, Any], role: str = "user", by: str = "", author: str = "mona") -> MessageView:
    """Return a message as it is read from a transcript; with `by` it has a receipt."""
    replica = Replica({Root.MESSAGES: Kind.MAP, Root.RECEIPTS: Kind.MAP}, client_id=1)
    put_message(replica, NewMessage("m", role, {"kind": "user", "name": author}, parts))
    if by:
        replica.edit(lambda r: r.set((Root.RECEIPTS,), "m:m", {"seq": 7, "by": by, "at": 0}))
    found = read_message(replica, "m")
    assert found is not None
    return found


def shown(message: MessageView) -> str:
    """Return a message as it is shown, without colours."""
    return "\n".join(paint.to_lines(paint.message(message), 60, colours=False))


def test_own_message_is_marked_until_it_has_a_receipt() -> None:
    """`not sent yet` gives way to its place."""
    text = {"type": "text", "text": "hello"}

    assert "not sent yet" in shown(view(text))
    assert "not sent yet" not in shown(view(text, by="user:mona"))
    assert "#7" in shown(view(text, by="user:mona"))


def test_author_is_the_verified_one() -> None:
    """Whoever claims another name is shown under his own, once the server said who it was."""
    assert shown(view({"type": "text", "text": "x"}, by="user:theo", author="mona")).startswith("theo")


@pytest.mark.parametrize("role", ["user", "assistant"])
@pytest.mark.parametrize("type", ["text", "reasoning", "file", "\x1b[2J"])
def test_nothing_of_others_drives_the_terminal(role: str, type: str) -> None:
    """Texts, names, kinds of parts, addresses and links of others lose their control characters."""
    evil = "\x1b]52;c;AAAA\x07 \x9b2J \u202e [bold]x[/bold] [a](javascript:x)"
    part = {"type": type, "text": evil} if type in ("text", "reasoning") else {"type": type, "url": evil}
    lines = shown(view(part, {"type": "tool", "name": evil, "id": evil, "input": evil}, role=role, author=evil))

    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(lines)


def test_streaming_shows_a_cursor() -> None:
    """An answer that is still being written ends in a block."""
    assert "▌" in shown(view({"type": "text", "text": "so far", "state": "streaming"}))
    assert "▌" not in shown(view({"type": "text", "text": "all", "state": "done"}))


def test_tool_that_waits_says_how_to_answer() -> None:
    """A call that needs approval comes with the commands that decide it."""
    call = {"type": "tool", "id": "0", "tool_call": "call-1", "name": "book", "state": "approval-requested"}

    asked = shown(view(call))
    assert "/approve   /deny   (call-1)" in asked
    assert "/approve" not in shown(view({**call, "state": "output-available"}))


def test_refusals_say_what_to_do() -> None:
    """What does not mend itself comes with the next step; what does, does not."""
    for code in (CloseCode.BAD_TOKEN, CloseCode.REVOKED, CloseCode.TOKEN_EXPIRED, CloseCode.FORBIDDEN):
        assert paint.hint(Status(Link.REFUSED, code, "no"), dev=False)
    assert "SYNCD_TOKEN" in paint.hint(Status(Link.REFUSED, CloseCode.BAD_TOKEN, "no"), dev=True)
    assert not paint.hint(Status(Link.OFFLINE, 0, "no"), dev=False)


def test_everybody_once() -> None:
    """Two devices of one person are one person, first of all oneself."""
    entries = [
        PresenceEntry("1", "user:theo", "theo", "user", "a", {}),
        PresenceEntry("2", "user:theo", "theo", "user", "b", {"status": "typing"}),
        PresenceEntry("3", "user:mona", "mona", "user", "c", {"status": "here"}),
    ]

    assert paint.here(entries, "user:mona").plain == "mona (you)  theo is typing…"
