"""ServerNode: one server machine, its log's disk and its ends of the links, driven as the server's shell drives them.

Every turn is in two halves, `begin` and `finish`, with the commit under way in between. Knows nothing of clients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from syncd.core.codec import decode_client, encode
from syncd.core.content import Folded
from syncd.core.errors import CloseCode, RemoteProtocolError, StorageFull
from syncd.core.grant import Grant
from syncd.core.ids import new_client_id
from syncd.core.limits import Limits
from syncd.core.messages import (
    Bye,
    ClientMessage,
    Closed,
    Hello,
    Leave,
    Open,
    Opened,
    Ping,
    Pong,
    PresenceChanged,
    Push,
    Refresh,
    Refreshed,
    Serve,
    ServerMessage,
    Storage,
    Unknown,
    Update,
    Watch,
)
from syncd.core.server import ServerMachine
from syncd.core.server_turn import Drop, Ready, Send
from tests.sim.disk import LogDisk
from tests.sim.ledger import HOSTILE, Ledger
from tests.sim.link import Link

#: As the real link: what is unsent for a reader beyond this many outboxes closes it.
_HARD_OUTBOXES = 8


class ServerNode:
    """The server. `tokens` is what its keys would verify: token to grant; `revoked` are its revoked token ids."""

    def __init__(self, session: str, limits: Limits, ledger: Ledger, rng: Random, clock: Callable[[], float]) -> None:
        self.limits = limits
        self.disk = LogDisk(ledger.disk_changed)
        ledger.watch(self.disk)
        self.tokens: dict[str, Grant] = {}
        self.revoked: set[str] = set()
        self.links: dict[str, Link] = {}
        self.wall_s = 1_700_000_000.0
        self.turn: Ready | None = None
        self.folding: Folded | None = None
        self.fold_due = self.fold_written = False
        self.storage_full = False
        self.machine: ServerMachine | None = None
        self._session = session
        self._ledger = ledger
        self._rng = rng
        self._clock = clock
        self._attached: set[str] = set()

    # Life

    def load(self) -> ServerMachine:
        """Return a machine with what is on the disk."""
        client_id = new_client_id(self._rng.randbytes(7))
        machine = ServerMachine(self._session, "incarnation", self.limits, client_id=client_id)
        machine.load(self.disk.entries)
        assert machine.version == self.disk.version, "the log does not load up to its version"
        return machine

    def crash(self, roll: int) -> None:
        """Lose the memory and what was not flushed; all links end."""
        self.disk.crash(roll)
        self._unload()
        for link in self.links.values():
            link.server_left = True
        self.links.clear()
        self.storage_full = False

    def _unload(self) -> None:
        self.machine = self.turn = self.folding = None
        self.fold_due = self.fold_written = False
        self._attached.clear()

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Throw the machine away; its peers come back to one that is loaded from the log."""
        self._unload()
        for link in list(self.links.values()):
            if link.opened:
                self._drop(link, code, reason)

    def evict(self) -> None:
        """Unload the session if nobody is on it."""
        machine = self.machine
        if machine is None or self.turn or self.folding:
            return
        if not machine.peers and not machine.pending() and machine.due_at() is None:
            self._unload()

    # Links

    def accept(self, token: str, link: Link) -> bool:
        """Take a new link; return whether its token is good."""
        grant = self.tokens[token]
        if grant.token_id in self.revoked or grant.expired(self.wall_s):
            return False
        link.grant = grant
        self.links[link.peer] = link
        return True

    def forget(self, link: Link) -> None:
        """A link's end was noticed."""
        link.server_left = True
        self.links.pop(link.peer, None)
        self._detach(link)

    def close(self, link: Link, code: CloseCode, reason: str) -> None:
        """Say bye; the link ends."""
        if not link.server_left:
            link.send_down(encode(Bye(code, reason)))
            self.forget(link)

    def revoke(self, token_id: str) -> None:
        """Refuse a token from now on and close its links."""
        self.revoked.add(token_id)
        for link in list(self.links.values()):
            if link.grant.token_id == token_id:
                self._detach(link)
                self.close(link, CloseCode.REVOKED, "the token was revoked")

    def watch(self) -> None:
        """Close what expired or is behind for too long."""
        for link in list(self.links.values()):
            if link.grant.expired(self.wall_s):
                self.close(link, CloseCode.TOKEN_EXPIRED, "the token expired")
            elif link.behind and self._clock() - link.behind_since_s > self.limits.behind_timeout_s:
                self.close(link, CloseCode.BEHIND, "nothing was read for too long")

    def catch_up(self) -> None:
        """Send readers that were behind, and can be written again, what they lack."""
        for link in list(self.links.values()):
            if link.behind and link.down_bytes <= self.limits.outbox_bytes_max // 4:
                link.behind = False
                if self.machine is not None:
                    self._deliver(self.machine.catch_up(link.peer), owed=True)

    def _detach(self, link: Link) -> None:
        if link.opened and self.machine is not None:
            self.machine.detach(link.peer)
        link.opened = link.behind = False
        self._attached.discard(link.peer)

    # Frames in

    def receive(self, link: Link) -> None:
        """Take the next frame of a link."""
        frame = link.up.popleft()
        if link.server_left:
            return
        if link.grant.expired(self.wall_s):
            self.close(link, CloseCode.TOKEN_EXPIRED, "the token expired")
            return
        try:
            self._act(link, decode_client(frame, self.limits))
        except RemoteProtocolError as error:
            self.close(link, error.code, error.reason)

    def _act(self, link: Link, message: ClientMessage) -> None:
        match message:
            case Open():
                self._open(link, message)
            case Leave():
                self._detach(link)
                self._send(link, Closed(message.session, CloseCode.NORMAL, ""))
            case Ping(nonce):
                self._send(link, Pong(nonce))
            case Refresh(token):
                self._refresh(link, token)
            case Hello():
                raise RemoteProtocolError(CloseCode.BAD_MESSAGE, "a second hello")
            case Unknown() | Serve() | Watch():
                pass
            case _:
                if self.machine is not None and link.opened and message.session == self._session:
                    rejects = self.machine._batch.rejects
                    before = len(rejects)
                    self.machine.receive(link.peer, message)
                    if isinstance(message, Push) and len(rejects) > before and link.grant.subject != HOSTILE:
                        # Noted here: whether the device ever reads of it is the link's matter.
                        self._ledger.refused(message.update)

    def _open(self, link: Link, opened: Open) -> None:
        if link.opened:
            raise RemoteProtocolError(CloseCode.BAD_MESSAGE, "open on this link: leave it first")
        rights = link.grant.rights(opened.session)
        if rights is None or opened.session != self._session:
            self._send(link, Closed(opened.session, CloseCode.FORBIDDEN, "no such session"))
            return
        if self.machine is None:
            self.machine = self.load()
            self.machine.storage_full = self.storage_full
        link.opened = True
        self._attached.add(link.peer)
        self.machine.attach(link.peer, link.grant, rights, device=link.peer[:8], opened=opened, worker=link.worker)

    def _refresh(self, link: Link, token: str) -> None:
        grant = self.tokens.get(token)
        if grant is None or grant.token_id in self.revoked or grant.expired(self.wall_s):
            raise RemoteProtocolError(CloseCode.BAD_TOKEN, "not a token")
        if grant.subject != link.grant.subject:
            raise RemoteProtocolError(CloseCode.BAD_TOKEN, "a fresh token must name the same subject")
        link.grant = grant
        rights = grant.rights(self._session)
        if link.opened and rights is None:
            self._detach(link)
            self._send(link, Closed(self._session, CloseCode.FORBIDDEN, "the fresh token does not name this session"))
        elif link.opened and self.machine is not None and rights is not None:
            self.machine.regrant(link.peer, grant, rights)
        self._send(link, Refreshed(grant.expires_at or 0.0))

    # Turns

    def begin(self) -> bool:
        """Take the next batch and write it to the disk, not flushed yet. Return whether there was one."""
        machine = self.machine
        if machine is None or self.turn is not None:
            return False
        machine.tick(self._clock())
        ready = machine.ready(int(self.wall_s * 1000))
        if ready is None:
            return False
        if ready.entries:
            assert ready.expected == self.disk.version, "the machine is not where the log is"
            try:
                self.disk.append(ready.expected, ready.entries)
            except StorageFull:
                self._set_full(True)
                self._fail(CloseCode.STORAGE_FULL, "the server's storage is full")
                return True
            self._ledger.count("commits")
            self.turn = ready
            return True
        self._deliver(machine.advance(ready))
        return bool(ready.batch)  # Else presence waits for its time.

    def finish(self, *, torn: int | None = None) -> bool:
        """Flush the batch, then let the peers see it; with `torn` crash after that many of the messages."""
        machine, ready = self.machine, self.turn
        if machine is None or ready is None:
            return False
        self.disk.flush()
        self.turn = None
        sends = machine.advance(ready)
        if torn is not None:
            self._deliver(sends[: torn % (len(sends) + 1)])
            self.crash(0)
            return True
        self._deliver(sends)
        self.fold_due = self.fold_due or machine.content.wants_snapshot()
        return True

    def fold(self) -> None:
        """Begin to fold the log into a snapshot, if it has grown; or go on with it, a step at a time."""
        machine = self.machine
        if machine is None:
            return
        if self.folding is None:
            if self.fold_due:
                self.fold_due = False
                self.folding = machine.content.snapshot()
        elif not self.fold_written:
            # Commits went on meanwhile: the log holds more by now than the snapshot.
            try:
                self.disk.compact(self.folding.version, self.folding.data)
                self.fold_written = True
            except StorageFull:
                self.folding = None
        else:
            self.disk.flush()
            machine.content.compacted(self.folding)
            self.folding, self.fold_written = None, False
            self._ledger.count("folds")

    def space(self) -> None:
        """The disk has space again, and the probe finds that out."""
        self.disk.full = False
        if self.storage_full:
            self._set_full(False)

    def _set_full(self, full: bool) -> None:
        self.storage_full = full
        if self.machine is not None:
            self.machine.storage_full = full
        for link in list(self.links.values()):
            self._send(link, Storage(full))

    # Frames out

    def _deliver(self, sends: Sequence[Send | Drop], *, owed: bool = False) -> None:
        machine = self.machine
        assert machine is not None
        # Who is dropped in this turn may still be named in it: nothing is written then.
        before = set(self._attached)
        for send in sends:
            if isinstance(send, Drop):
                machine.detach(send.peer)
                link = self.links.get(send.peer)
                if link is not None and link.opened:
                    self._attached.discard(send.peer)
                    self._drop(link, send.code, send.reason, whole_link=send.whole_link)
                continue
            self._ledger.sent(send.message)
            frame = encode(send.message)
            for peer in send.peers:
                assert peer in before, f"the machine sends to {peer}, who is not on the session"
                link = self.links.get(peer)
                if link is not None and not self._deliver_one(link, send.message, frame, owed=owed):
                    self._ledger.count("behind")
                    machine.fall_behind(peer)

    def _deliver_one(self, link: Link, message: ServerMessage, frame: bytes, *, owed: bool) -> bool:
        full = link.down_bytes > self.limits.outbox_bytes_max
        if full and not owed and isinstance(message, Update | PresenceChanged):
            if not link.behind:
                link.behind_since_s = self._clock()
            link.behind = True
            return False
        self._write(link, frame, owed=owed or isinstance(message, Opened))
        return True

    def _drop(self, link: Link, code: CloseCode, reason: str, *, whole_link: bool = False) -> None:
        self._ledger.count(f"drop {CloseCode(code).name.lower()}")
        link.opened = link.behind = False
        if whole_link:
            self.close(link, code, reason)
        else:
            self._send(link, Closed(self._session, code, reason))

    def _send(self, link: Link, message: ServerMessage) -> None:
        self._write(link, encode(message))

    def _write(self, link: Link, frame: bytes, *, owed: bool = False) -> None:
        if link.server_left:
            return
        self._ledger.wrote(link.grant, self.revoked)
        link.send_down(frame)
        if owed:
            link.owed_bytes = link.down_bytes
        elif link.down_bytes <= self.limits.outbox_bytes_max:
            link.owed_bytes = 0
        elif link.down_bytes > link.owed_bytes + _HARD_OUTBOXES * self.limits.outbox_bytes_max:
            self.close(link, CloseCode.BEHIND, "nothing was read for too long")
