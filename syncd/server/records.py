"""Records: sessions as whole values, for REST: read, page, post, search, export, import, delete.

Writes go through the same machine and the same commit as everybody's. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from syncd.core.document import Document
from syncd.core.entries import EntryKind, Snapshot, StoredEntry
from syncd.core.errors import CloseCode, RejectCode, Rejected, StorageFull, StoreDamaged, SyncdError
from syncd.core.grant import ALL_RIGHTS, Grant
from syncd.core.ids import is_id, new_client_id, uuid7
from syncd.core.messages import LAYERS, Ack, Json, Layer, Push, Reject, ServerMessage
from syncd.core.replica import ROOT_KINDS, Replica
from syncd.core.schema import NewMessage, Receipt, Root, text_part
from syncd.core.server import ServerMachine
from syncd.core.shape import state_shape, transcript_shape
from syncd.core.transcript import MessageView, put_message, read_commands, read_message
from syncd.core.update import EMPTY_UPDATE, Kind, encode_prefix
from syncd.core.varint import CLOCK_MAX, UINT_MAX
from syncd.server.live_session import Follower, LiveSession
from syncd.server.sessions import SessionGone, Sessions
from syncd.store.log import SearchHit, SessionInfo

EXPORT_FORMAT: Final = "syncd.session.v1"
_INDEX_PAGE: Final = 200


class _Mailbox:
    """The outlet of a peer inside the server: resolves when its push is answered."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def deliver(self, session: str, message: ServerMessage, frame: bytes, *, owed: bool = False) -> bool:
        if self.answer.done():
            return True
        if isinstance(message, Reject):
            self.answer.set_exception(Rejected(RejectCode(message.code), message.reason))
        elif isinstance(message, Ack):
            self.answer.set_result(None)
        return True

    def drop(self, session: str, code: CloseCode, reason: str, *, whole_link: bool) -> None:
        if not self.answer.done():
            error: SyncdError = StorageFull(reason) if code is CloseCode.STORAGE_FULL else SessionGone(code, reason)
            self.answer.set_exception(error)


class Records(Follower):
    """What REST does with sessions.

    1. A write returns once it is on disk, and was judged as any peer's.
    2. Posting twice under one id writes once.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._log = sessions.log
        self._indexed: dict[str, dict[str, MessageView]] = {}
        self._indexer: asyncio.Task[None] | None = None
        sessions.followers.append(self)

    @property
    def storage_full(self) -> bool:
        """Whether nothing can be written at the moment."""
        return self._sessions.storage_full

    async def start(self) -> None:
        """Start the sessions, and bring the search index up to date beside them."""
        await self._sessions.start()
        self._indexer = asyncio.create_task(self._index_all(), name="search index")

    async def stop(self) -> None:
        """Stop the sessions, the commit under way finished."""
        if self._indexer is not None:
            self._indexer.cancel()
            await asyncio.gather(self._indexer, return_exceptions=True)
        await self._sessions.stop()

    # Rows

    async def create(self, session: str) -> SessionInfo:
        """Create a session; return an existing one's row as it is."""
        return await self._sessions.create(session)

    async def info(self, session: str) -> SessionInfo | None:
        """Return a session's row, None if it is absent or deleted."""
        info = await self._log.info(session)
        return None if info is None or info.deleted_at_ms is not None else info

    async def list(self, *, after: str, limit: int) -> Sequence[SessionInfo]:
        """Return up to `limit` rows of sessions with ids above `after`, in order of id."""
        return await self._log.list(after=after, limit=limit)

    async def delete(self, session: str) -> bool:
        """Erase a session for good; return whether there was one."""
        self._indexed.pop(session, None)
        return await self._sessions.delete(session)

    # Reading

    async def read(self, session: str) -> Mapping[str, Json]:
        """Return a whole session as JSON.

        Raises:
            LookupError: it is absent or deleted.
            StoreDamaged: it is quarantined.
        """
        live = await self._live(session)
        machine = live.machine
        state = machine.document(Layer.STATE)
        return {
            "session": session,
            "incarnation": machine.incarnation,
            "seq": machine.committed_seq,
            "messages": [view.json() for view in machine.messages()],
            "commands": read_commands(machine.document(Layer.TRANSCRIPT).replica),
            "state": {name: state.replica.read(name) for name in sorted(state.index.roots)},
        }

    async def history(self, session: str, *, before: int | None, limit: int) -> Sequence[Mapping[str, Json]]:
        """Return the newest `limit` messages with a `seq` below `before`, oldest first.

        Raises:
            LookupError: it is absent or deleted.
        """
        views = [
            view
            for view in (await self._live(session)).machine.messages()
            if view.seq is not None and (before is None or view.seq < before)
        ]
        return [view.json() for view in views[-limit:]]

    # Writing

    async def post(
        self,
        session: str,
        grant: Grant,
        *,
        text: str,
        role: str = "user",
        to: Sequence[str] = (),
        metadata: Mapping[str, Json] | None = None,
        message: str | None = None,
    ) -> Mapping[str, Json]:
        """Write a message for the grant's subject; return its id, `seq`, author and time once it is on disk.

        Raises:
            LookupError: the session is absent, or not for this grant.
            Rejected: the grant does not allow it, or the id is somebody else's.
            LocalProtocolError: the message is not as the schema says.
            StorageFull: nothing was written.
        """
        rights = grant.rights(session)
        if rights is None:
            raise LookupError(session)
        live = await self._live(session)
        machine = live.machine
        id = message or uuid7(self._sessions.now_ms(), secrets.token_bytes(10))
        owner = machine.owner(Root.MESSAGES, id)
        if owner is not None:  # Invariant 2.
            if owner != grant.subject:
                raise Rejected(RejectCode.FOREIGN_ENTRY, f"message {id} is somebody else's")
            await self._sessions.settle()
            return self._posted(live, id)
        new = NewMessage(
            id=id,
            role=role,
            author={"kind": grant.kind, "name": grant.name},
            parts=(text_part(text),),
            to=to,
            created_at=self._sessions.now_ms(),
            metadata=metadata or {},
        )
        update = self._write(live, grant.subject, new)
        peer, mailbox = f"rest-{secrets.token_hex(8)}", _Mailbox()
        live.outlets[peer] = mailbox
        try:
            machine.attach(peer, grant, rights, device="rest", opened=None)
            machine.receive(peer, Push(session, Layer.TRANSCRIPT, 1, update))
            self._sessions.mark(live)
            await mailbox.answer  # Invariant 1.
        finally:
            live.outlets.pop(peer, None)
            machine.detach(peer)
        return self._posted(live, id)

    def _write(self, live: LiveSession, subject: str, message: NewMessage) -> bytes:
        client_id = live.writers.get(subject)
        if client_id is None:
            client_id = live.writers[subject] = new_client_id(secrets.token_bytes(7))
        index = live.machine.document(Layer.TRANSCRIPT).index
        replica = Replica({Root.MESSAGES: Kind.MAP}, client_id=client_id)
        replica.apply([encode_prefix(client_id, index.state.get(client_id, 0))])
        return put_message(replica, message)

    def _posted(self, live: LiveSession, id: str) -> dict[str, Json]:
        view = read_message(live.machine.document(Layer.TRANSCRIPT).replica, id)
        receipt: Receipt | None = view.receipt if view else None
        if receipt is None:
            raise StorageFull("the message is not on disk: try again later")
        return {"message": id, "seq": receipt.seq, "by": receipt.by, "at": receipt.at}

    # Export and import

    async def export(self, session: str, format: str) -> bytes:
        """Return a session as `json`, from which it can be imported as it was, or as `markdown`, to be read.

        Raises:
            LookupError: it is absent or deleted.
        """
        if format == "markdown":
            return markdown(session, (await self._live(session)).machine.messages()).encode()
        live = await self._live(session)
        data = live.machine.content.snapshot().data
        snapshot = Snapshot.decode(data)
        body = {
            "format": EXPORT_FORMAT,
            "exported_at": self._sessions.now_ms(),
            **await self.read(session),
            "documents": {str(layer): base64.b64encode(update).decode() for layer, update in snapshot.updates.items()},
            "authors": snapshot.bindings,
            "roots": snapshot.roots,
        }
        return json.dumps(body, ensure_ascii=False, indent=1).encode()

    async def import_(self, data: bytes, grant: Grant) -> SessionInfo:
        """Create the session in `data`, an export's JSON, with all its authors and receipts.

        Raises:
            FileExistsError: there is a session of its id.
            Rejected: `malformed`, or whatever is wrong with its documents; `forbidden` without all rights on it.
        """
        session, snapshot = _parse_export(data)
        if grant.rights(session) != ALL_RIGHTS:
            raise Rejected(RejectCode.FORBIDDEN, "an import brings everybody's words: all rights on it are needed")
        limits = self._sessions.limits
        machine = ServerMachine(session, "", limits, client_id=0)
        encoded = snapshot.encode()
        try:
            # Judged as a peer's would be, but for its size: the log's own way of loading trusts what it reads.
            for shape in (transcript_shape(limits), state_shape(limits)):
                document = Document(shape, limits, roots={name: Kind(kind) for name, kind in snapshot.roots.items()})
                document.plan(document.decode(snapshot.updates[shape.layer], trusted=True))
            machine.load([StoredEntry(1, EntryKind.SNAPSHOT, encoded)])
            machine.messages()
        except StoreDamaged as error:
            raise Rejected(RejectCode.MALFORMED, f"the export does not load: {error}") from error
        if await self.info(session) is not None:
            raise FileExistsError(session)
        incarnation = uuid7(self._sessions.now_ms(), secrets.token_bytes(10))
        info = await self._log.create(session, incarnation, self._sessions.now_ms(), snapshot=encoded)
        if info.incarnation != incarnation:
            raise FileExistsError(session)
        return info

    # Search

    async def search(self, query: str, *, allowed: Callable[[str], bool], limit: int) -> Sequence[SearchHit]:
        """Return messages that hold all words of `query`, in sessions that `allowed` names, best first."""
        for live in self._sessions.lives():
            await self._index(live)
        names: list[str] = []
        after = ""
        while page := await self._log.list(after=after, limit=_INDEX_PAGE):
            names += [info.session for info in page if allowed(info.session)]
            after = page[-1].session
        return await self._log.search(query, sessions=names, limit=limit)

    async def _index(self, live: LiveSession) -> None:
        """Bring the search index of one session up to its committed version."""
        machine = live.machine
        if await self._log.indexed_version(live.session) >= machine.version:
            return
        version, before = machine.version, self._indexed.get(live.session, {})
        views = {view.id: view for view in machine.messages()}
        texts = {id: view.text for id, view in views.items() if before.get(id) is not view}
        await self._log.index_messages(live.session, version, texts)
        self._indexed[live.session] = views

    async def quiet(self, live: LiveSession) -> None:
        """Bring the index up to date for a session that is about to be unloaded, and keep nothing of it in memory."""
        await self._index(live)
        self._indexed.pop(live.session, None)

    async def _index_all(self) -> None:
        """After a start, index what a crash kept from being indexed."""
        after = ""
        while page := await self._log.list(after=after, limit=_INDEX_PAGE):
            for info in page:
                if not info.damaged and await self._log.indexed_version(info.session) < info.version:
                    try:
                        await self._index(await self._sessions.live(info.session))
                    except (SessionGone, StorageFull):
                        continue
            after = page[-1].session

    async def _live(self, session: str) -> LiveSession:
        try:
            return await self._sessions.live(session)
        except SessionGone as gone:
            if gone.code is CloseCode.DAMAGED:
                raise StoreDamaged(gone.reason) from gone
            raise LookupError(session) from gone


def markdown(session: str, messages: Sequence[MessageView]) -> str:
    """Return a transcript to be read by people."""
    lines = [f"# {session}", ""]
    for view in messages:
        who = view.by or f"{view.author.get('name') or 'unknown'} (not verified)"
        lines += [f"## {view.seq if view.seq is not None else '–'} · {who}", ""]
        for part in view.parts:
            if isinstance(part.get("text"), str):
                lines += [part["text"], ""]
            else:
                lines += ["```json", json.dumps(part, ensure_ascii=False, indent=1), "```", ""]
    return "\n".join(lines)


def _parse_export(data: bytes) -> tuple[str, Snapshot]:
    try:
        body: Any = json.loads(data)
        if body["format"] != EXPORT_FORMAT or not is_id(body["session"]):
            raise ValueError(f"it is no {EXPORT_FORMAT}")
        updates = {layer: base64.b64decode(body["documents"].get(layer, "AAA="), validate=True) for layer in LAYERS}
        authors = {str(subject): [int(id) for id in ids] for subject, ids in body["authors"].items()}
        roots = {str(name): int(Kind(kind)) for name, kind in body["roots"].items()}
        if not set(roots.values()) <= set(ROOT_KINDS):
            raise ValueError("a root of a kind that no root has")
        if "__proto__" in roots:
            raise ValueError("a root named __proto__, which JavaScript cannot read")
        "".join((*authors, *roots)).encode()  # JSON can say half a surrogate pair, a log cannot
        seq = int(body["seq"])
        # Far from where numbers end, so that it can be counted on from `seq`.
        if not 0 <= seq <= CLOCK_MAX or not all(0 <= id <= UINT_MAX for id in chain.from_iterable(authors.values())):
            raise ValueError("a number out of range")
        snapshot = Snapshot({k: u or EMPTY_UPDATE for k, u in updates.items()}, authors, seq, roots)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError, binascii.Error) as error:
        raise Rejected(RejectCode.MALFORMED, f"this is not an export of a session: {error}") from error
    return body["session"], snapshot
