"""Writing: what an app, or an agent, writes into the transcript of a session: messages, commands, how far it has read.

Knows nothing of the store or of the link: an edit is the session's to take and to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from syncd.core.errors import LocalProtocolError
from syncd.core.messages import Json, Layer
from syncd.core.replica import Replica
from syncd.core.run_writer import PartPlace, set_attempt, set_part
from syncd.core.schema import NewMessage, text_part
from syncd.core.transcript import put_command, put_message, put_read
from syncd_client.commands import Commanding
from syncd_client.copy import now_ms
from syncd_client.drafts import Drafts
from syncd_client.forks import edit_of, regeneration_of
from syncd_client.posted import Message
from syncd_client.reading import Reading
from syncd_client.stream import MessageStream
from syncd_client.waiting import Waiting

if TYPE_CHECKING:
    from syncd_client.session import Session


class Writing(Reading, Commanding):
    """What can be written into a session's transcript. `session.Session` is what it is written into.

    1. What is awaited here is on this disk when it returns.
    """

    def __init__(self) -> None:
        super().__init__()
        self._drafts = Drafts(lambda: self.clock_ahead_ms)
        self._waiting = Waiting()

    @property
    def subject(self) -> str:
        """Who this device's token names."""
        raise NotImplementedError

    @property
    def clock_ahead_ms(self) -> int:
        """How far the server's clock was ahead of this machine's when it was last heard; 0 before that."""
        raise NotImplementedError

    def _edit(self, layer: Layer, change: Callable[[Replica], bytes]) -> int | None:
        """Have `change` write; return the edit's ticket, None if nothing changed."""
        raise NotImplementedError

    async def post(
        self,
        text: str = "",
        *,
        to: Sequence[str] = (),
        role: str = "user",
        parts: Sequence[Mapping[str, Any]] = (),
        parent: str | None = None,
        fork_of: str | None = None,
        metadata: Mapping[str, Json] | None = None,
        expires_in_s: float | None = None,
    ) -> Message:
        """Write a message; return when it is on this disk.

        The work that it makes for the agents in `to` is ended as failed, `expired`, if it is not over in time.

        Raises:
            LocalProtocolError: it is not as the schema says, too large, or the token does not allow it.
            StoreError: this disk did not take it; nothing was written.
        """
        if not text and not parts:
            raise LocalProtocolError("a message holds a text or parts")
        new = self._drafts.message(
            self.subject,
            role=role,
            to=to,
            parent=parent,
            fork_of=fork_of,
            metadata=metadata,
            parts=((text_part(text),) if text else ()) + tuple(parts),
            expires_in_s=expires_in_s,
        )
        return await self.write_message(new)

    async def edit(self, message: str, text: str, *, to: Sequence[str] | None = None) -> Message:
        """Write `text` as an alternative to a message, for the same addressees unless `to` says others.

        Raises: as `post`, and LocalProtocolError if there is no such message.
        """
        fork = edit_of(self.messages(), message, text, to=to)
        return await self.write_message(self._drafts.message(self.subject, **fork))

    async def regenerate(self, message: str, *, to: str | None = None) -> Message:
        """Ask for another answer in place of `message`: of the agent that made it, or of `to`.

        Return the request; the agent's answer to it takes its place. Raises: as `edit`.
        """
        fork = regeneration_of(self.messages(), message, to=to)
        return await self.write_message(self._drafts.message(self.subject, **fork))

    async def write_message(self, new: NewMessage) -> Message:
        """Write a message as it is; return when it is on this disk. As `post`."""
        if sum(len(str(part).encode(errors="replace")) for part in new.parts) > self.machine.update_bytes_max():
            raise LocalProtocolError(f"a message holds at most {self.machine.update_bytes_max()} bytes")
        ticket = self._edit(Layer.TRANSCRIPT, lambda replica: put_message(replica, new))
        assert ticket is not None
        await self._waiting.until_saved(ticket)
        return Message(cast("Session", self), new.id, ticket)

    def stream(
        self,
        *,
        role: str = "assistant",
        to: Sequence[str] = (),
        parent: str | None = None,
        metadata: Mapping[str, Json] | None = None,
    ) -> MessageStream:
        """Return a message to write bit by bit: `async with session.stream() as stream: await stream.text(...)`."""
        new = self._drafts.message(self.subject, role=role, to=to, parent=parent, metadata=metadata)
        return MessageStream(cast("Session", self), new)

    async def command(
        self, kind: str, *, target: Mapping[str, str], payload: Json = None, expires_in_s: float | None = None
    ) -> str:
        """Write a command, such as `cancel` with `target={"run": id}`; return its id when it is on this disk.

        Its outcome comes as a receipt: see `CommandChanged`.
        """
        return (await self._write_command(kind, target=target, payload=payload, expires_in_s=expires_in_s))[0]

    async def _write_command(
        self, kind: str, *, target: Mapping[str, str], payload: Json, expires_in_s: float | None
    ) -> tuple[str, int]:
        """See `commands.Commanding`."""
        new = self._drafts.command(kind, target=target, payload=payload, expires_in_s=expires_in_s)
        ticket = self._edit(Layer.TRANSCRIPT, lambda replica: put_command(replica, new))
        assert ticket is not None
        await self._waiting.until_saved(ticket)
        return new.id, ticket

    async def mark_read(self, seq: int | None = None) -> None:
        """Say that this subject has read up to `seq`; without one, all that this copy has, commands included."""
        subject = self.subject
        seq = max(self.seq, self.machine.seq) if seq is None else seq
        if not subject or self.reads().get(subject, -1) >= seq:
            return
        ticket = self._edit(Layer.TRANSCRIPT, lambda r: put_read(r, subject, seq=seq, at=now_ms()))
        if ticket is not None:
            await self._waiting.until_saved(ticket)

    def draft(self, *, role: str, parent: str | None = None, to: Sequence[str] = ()) -> NewMessage:
        """Return a message of this subject, to be written."""
        return self._drafts.message(self.subject, role=role, to=to, parent=parent, metadata=None)

    def set_attempt(self, run: str, attempt: int, fields: Mapping[str, Json]) -> None:
        """Set fields of an attempt's entry that was begun here or by an earlier process of this subject."""
        self._edit(Layer.TRANSCRIPT, lambda replica: set_attempt(replica, run, attempt, fields))

    def set_part(self, place: PartPlace, fields: Mapping[str, Json]) -> None:
        """Set fields of a part that an earlier process of this subject wrote."""
        self._edit(Layer.TRANSCRIPT, lambda replica: set_part(replica, place, fields))
