"""Typed operations on a transcript: writing messages, streams, commands and reads; reading them back in order.

Works on a `Replica` of the transcript. Knows nothing of the network, of stores or of who may write what (see
`author`); authorship shown here comes from receipts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from syncd.core.errors import LocalProtocolError
from syncd.core.messages import Json
from syncd.core.plan import Plan
from syncd.core.replica import Replica, SharedList, SharedMap, SharedText, check_text
from syncd.core.schema import STREAMED_PARTS, NewCommand, NewMessage, Receipt, Root

#: A text longer than this goes on in a further segment. An append costs with the length of the run that it joins:
#: 10 µs at 4 kB, 28 at 16, 100 at 64.
SEGMENT_BYTES: Final = 8 << 10


def put_message(replica: Replica, message: NewMessage) -> bytes:
    """Write a whole message; return the update to store and push.

    Raises:
        LocalProtocolError: the message is not as the schema says, or its id is used already.
    """
    message.check()
    if replica.contains(Root.MESSAGES, message.id):
        raise LocalProtocolError(f"message {message.id} exists already")
    body = SharedMap(role=message.role, author=dict(message.author), created_at=message.created_at)
    for name in ("run", "attempt", "parent", "fork_of", "expires_at"):
        value = getattr(message, name)
        if value is not None:
            body[name] = value
    if message.to:
        body["to"] = list(message.to)
    if message.metadata:
        body["metadata"] = SharedMap(message.metadata)
    body["parts"] = SharedList(_shared_part(part) for part in message.parts)
    return replica.edit(lambda r: r.set((Root.MESSAGES,), message.id, body))


def put_command(replica: Replica, command: NewCommand) -> bytes:
    """Write a command; return the update to store and push.

    Raises:
        LocalProtocolError: the command is not as the schema says, or its id is used already.
    """
    command.check()
    if replica.contains(Root.COMMANDS, command.id):
        raise LocalProtocolError(f"command {command.id} exists already")
    return replica.edit(lambda r: r.set((Root.COMMANDS,), command.id, command.value()))


def put_read(replica: Replica, subject: str, *, seq: int, at: int) -> bytes:
    """Write how far `subject` has read; return the update to store and push."""
    return replica.edit(lambda r: r.set((Root.READS,), subject, {"seq": seq, "at": at}))


class PartWriter:
    """Appends to streamed parts of one message, in segments that readers do not see.

    Writes in the replica it is given, which may hold nothing but this message: an entry refers to nothing else.
    """

    def __init__(self, replica: Replica, message: str) -> None:
        self._replica = replica
        self._parts: tuple[str, str, str] = (Root.MESSAGES, message, "parts")
        self._count = replica.length(*self._parts)
        self._path: tuple[str | int, ...] = ()
        self._segment_bytes = 0
        self._type = ""

    @property
    def count(self) -> int:
        """How many parts the message has."""
        return self._count

    @property
    def open(self) -> bool:
        """Whether the last part is a text that may go on."""
        return bool(self._path)

    def resume(self) -> None:
        """Go on with the last part, if that is a streamed one that is not done."""
        at = (*self._parts, self._count - 1)
        kind = self._replica.read(*at, "type") if self._count else None
        if kind not in STREAMED_PARTS or self._replica.read(*at, "state") != "streaming":
            return
        more = self._replica.length(*at, "more")
        self._path, self._type = (*at, "more", more - 1) if more else (*at, "text"), kind
        self._segment_bytes = len(self._replica.read(*self._path).encode())

    def add_part(self, part: Mapping[str, Any]) -> bytes:
        """Add a part that is complete as it is; return the update."""
        shared = _shared_part(part)
        self._path = ()
        update = self._replica.edit(lambda r: r.insert(self._parts, self._count, [shared]))
        self._count += 1
        return update

    def append(self, text: str, *, kind: str = "text") -> bytes:
        """Append to the current part, or to a new one if that is of another `kind`; return the update.

        Raises:
            LocalProtocolError: `text` holds half a surrogate pair, or `kind` is no streamed part.
        """
        check_text(text)
        if kind not in STREAMED_PARTS:
            raise LocalProtocolError(f"{kind!r} is none of the streamed parts {', '.join(STREAMED_PARTS)}")
        return self._replica.edit(lambda r: self._append(r, text, kind))

    def finish(self) -> bytes:
        """Mark the current part as done; return the update."""
        if not self._path:
            return self._replica.edit(lambda _: None)
        at = (*self._parts, self._count - 1)
        self._path = ()
        return self._replica.edit(lambda r: r.set(at, "state", "done"))

    def _append(self, replica: Replica, text: str, kind: str) -> None:
        part = (*self._parts, self._count - 1)
        if self._path and self._type != kind:
            replica.set(part, "state", "done")
            self._path = ()
        if not self._path:
            body = SharedMap(id=str(self._count), type=kind, text=SharedText(""), state="streaming")
            replica.insert(self._parts, self._count, [body])
            self._count += 1
            self._path, self._type, self._segment_bytes = (*self._parts, self._count - 1, "text"), kind, 0
        elif self._segment_bytes >= SEGMENT_BYTES:
            if not replica.contains(*part, "more"):
                replica.set(part, "more", SharedList())
            segments = replica.length(*part, "more")
            replica.insert((*part, "more"), segments, [SharedText("")])
            self._path, self._segment_bytes = (*part, "more", segments), 0
        replica.text_append(self._path, text)
        self._segment_bytes += len(text.encode())


@dataclass(frozen=True, slots=True)
class MessageView:
    """One message as a reader sees it.

    `receipt` is None until the server decided its place: own messages then are "not sent yet". `by` is the verified
    author once there is a receipt; `author` is only what the writer claimed.
    """

    id: str
    role: str
    author: Mapping[str, Json]
    to: tuple[str, ...]
    parts: tuple[Mapping[str, Json], ...]
    created_at: int
    run: str | None
    attempt: int | None
    parent: str | None
    fork_of: str | None
    metadata: Mapping[str, Json]
    receipt: Receipt | None

    @property
    def text(self) -> str:
        """All text parts, joined by empty lines."""
        return "\n\n".join(str(part["text"]) for part in self.parts if part.get("type") == "text" and part.get("text"))

    @property
    def by(self) -> str | None:
        """Who wrote it, as the server verified; None without a receipt."""
        return self.receipt.by if self.receipt else None

    @property
    def seq(self) -> int | None:
        """Its place in the session's one agreed order; None without a receipt."""
        return self.receipt.seq if self.receipt else None

    @property
    def streaming(self) -> bool:
        """Whether a part is still being written."""
        return any(part.get("state") == "streaming" for part in self.parts)

    def json(self) -> dict[str, Json]:
        """Return it as plain JSON, for REST and export."""
        body: dict[str, Json] = {
            "id": self.id,
            "role": self.role,
            "author": dict(self.author),
            "parts": [dict(part) for part in self.parts],
            "created_at": self.created_at,
        }
        for name in ("run", "attempt", "parent", "fork_of"):
            if getattr(self, name) is not None:
                body[name] = getattr(self, name)
        if self.to:
            body["to"] = list(self.to)
        if self.metadata:
            body["metadata"] = dict(self.metadata)
        if self.receipt is not None:
            body |= {"seq": self.receipt.seq, "by": self.receipt.by, "at": self.receipt.at}
        return body


def read_message(replica: Replica, message: str) -> MessageView | None:
    """Return one message, None if there is none of that id."""
    raw = replica.read(Root.MESSAGES, message)
    if not isinstance(raw, dict):
        return None
    receipt = Receipt.parse(replica.read(Root.RECEIPTS, f"m:{message}"))
    author, metadata, parts = raw.get("author"), raw.get("metadata"), raw.get("parts")
    return MessageView(
        id=message,
        role=_string(raw.get("role")) or "user",
        author=author if isinstance(author, dict) else {},
        to=tuple(name for name in _list(raw.get("to")) if isinstance(name, str)),
        parts=tuple(_read_part(part) for part in _list(parts) if isinstance(part, dict)),
        created_at=raw["created_at"] if isinstance(raw.get("created_at"), int) else 0,
        run=_string(raw.get("run")),
        attempt=raw["attempt"] if isinstance(raw.get("attempt"), int) else None,
        parent=_string(raw.get("parent")),
        fork_of=_string(raw.get("fork_of")),
        metadata=metadata if isinstance(metadata, dict) else {},
        receipt=receipt,
    )


class TranscriptView:
    """The messages of a transcript in the agreed order, read once and again only where something changed.

    Own messages without a receipt come last, oldest first.
    """

    def __init__(self) -> None:
        self._messages: dict[str, MessageView] = {}
        self._stale: set[str] | None = None
        self._order: list[str] | None = None

    def touch(self, entries: Iterable[tuple[str, str]]) -> None:
        """Note that these top-level entries, pairs of root and key, changed."""
        if self._stale is None:
            return
        for root, key in entries:
            if root == Root.MESSAGES:
                self._stale.add(key)
            elif root == Root.RECEIPTS and key.startswith("m:"):
                self._stale.add(key[2:])

    def reset(self) -> None:
        """Forget everything: the document was replaced."""
        self._messages, self._stale, self._order = {}, None, None

    def messages(self, replica: Replica) -> list[MessageView]:
        """Return all messages in order."""
        self._refresh(replica)
        if self._order is None:
            self._order = sorted(self._messages, key=lambda id: place(self._messages[id]))
        return [self._messages[id] for id in self._order]

    def message(self, replica: Replica, message: str) -> MessageView | None:
        """Return one message, None if there is none of that id."""
        self._refresh(replica)
        return self._messages.get(message)

    def _refresh(self, replica: Replica) -> None:
        stale = self._stale if self._stale is not None else set(replica.keys(Root.MESSAGES))
        self._stale = set()
        for id in stale:
            view = read_message(replica, id)
            before = self._messages.get(id)
            if view is None:
                self._messages.pop(id, None)
            else:
                self._messages[id] = view
            if before is None or view is None or before.receipt != view.receipt:
                self._order = None


def read_command(replica: Replica, command: str) -> dict[str, Json] | None:
    """Return one command with its receipt (None while there is none), None if there is none of that id."""
    found = replica.read(Root.COMMANDS, command)
    if not isinstance(found, dict):
        return None
    return {"id": command, **found, "receipt": replica.read(Root.RECEIPTS, f"c:{command}")}


def read_commands(replica: Replica) -> list[dict[str, Json]]:
    """Return all commands with their receipts, in the agreed order."""
    found = [command for key in replica.keys(Root.COMMANDS) if (command := read_command(replica, key)) is not None]
    return sorted(found, key=lambda c: (c["receipt"] or {}).get("seq", 1 << 53))


def read_reads(replica: Replica) -> dict[str, int]:
    """Return how far each subject has read: subject to `seq`."""
    found = {subject: replica.read(Root.READS, subject) for subject in replica.keys(Root.READS)}
    return {subject: read["seq"] for subject, read in found.items() if isinstance(read, dict) and "seq" in read}


def count_receipts(plan: Plan) -> int:
    """Return how many messages and commands a plan brings the receipts of: their `seq`s are consecutive."""
    return sum(i.container == Root.RECEIPTS and i.key is not None and i.key[:2] in ("m:", "c:") for i in plan.inserts)


def place(view: MessageView) -> tuple[int, int, str]:
    """Return what messages are sorted by: `seq`; those without one last, by their authors' clocks, then ids."""
    return (view.receipt.seq if view.receipt else 1 << 53, view.created_at, view.id)


def _shared_part(part: Mapping[str, Any]) -> SharedMap:
    shared = SharedMap(part)
    if part.get("type") in STREAMED_PARTS and isinstance(part.get("text"), str):
        whole = part["text"]
        segments = _segments(whole)
        shared["text"] = SharedText(segments[0])
        if len(segments) > 1:
            shared["more"] = SharedList(SharedText(segment) for segment in segments[1:])
    return shared


def _segments(text: str) -> list[str]:
    """Cut `text` into pieces of at most SEGMENT_BYTES, never within a character."""
    if len(text) * 4 <= SEGMENT_BYTES or len(text.encode()) <= SEGMENT_BYTES:
        return [text]
    step = SEGMENT_BYTES // 4
    return [text[at : at + step] for at in range(0, len(text), step)]


def _read_part(part: dict[str, Json]) -> dict[str, Json]:
    more = part.pop("more", None)
    if isinstance(more, list) and isinstance(part.get("text"), str):
        part["text"] += "".join(segment for segment in more if isinstance(segment, str))
    return part


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else ()


def _string(value: Json) -> str | None:
    return value if isinstance(value, str) else None
