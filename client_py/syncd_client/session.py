"""Session: one session as an app sees it, from the local copy, with or without a network.

Holds the machine and gives it its turns. What can be read of it is in `reading`, what can be written into its
transcript in `writing`; the link is the client's. Knows nothing of sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from syncd.core.client import ClientMachine, LinkState
from syncd.core.client_turn import (
    CaughtUp,
    Changed,
    Event,
    PresenceMoved,
    Refused,
    Reload,
    Saved,
    Shut,
    StorageMoved,
    Synced,
)
from syncd.core.errors import CloseCode, LocalProtocolError, Rejected, StorageFull, StoreError
from syncd.core.ids import run_key
from syncd.core.listing import STATE_ROOT, called
from syncd.core.messages import Json, Layer, Opened, PresenceEntry, ServerMessage
from syncd.core.people import Person
from syncd.core.replica import Replica, ReplicaBroken
from syncd.core.schema import Root
from syncd.core.transcript import MessageView
from syncd.core.update import Kind
from syncd.store.local_records import RefusedUpdate
from syncd_client.audience import Audience, check_activity
from syncd_client.changes import Changes
from syncd_client.copy import LocalCopy, fresh_client_id, uncollected
from syncd_client.feed import Feed
from syncd_client.presence import Presence
from syncd_client.standing import Standing
from syncd_client.state import SharedState
from syncd_client.status import Link, Status
from syncd_client.stream import ClientIds
from syncd_client.text_index import TextIndex
from syncd_client.view import View
from syncd_client.watchers import Watchers
from syncd_client.writing import Writing

if TYPE_CHECKING:
    from syncd_client.client import Client

_log = structlog.get_logger("syncd.client")

_RETRY_S = 1.0


class Session(Writing):
    """One session on this device. Open it with `Client.open`.

    1. An edit is applied at once; `post`, `command` and a stream's end return when it is on this disk.
    2. Only what is on this disk is sent.
    3. What the server refuses is kept aside, and said.
    """

    def __init__(self, client: Client, session: str) -> None:
        super().__init__()
        self.id = session
        self.state = SharedState(self)
        self.presence = Presence(self)
        #: Everybody on the session, each once; see `people`.
        self.audience = Audience(self, grace_s=client.limits.presence_grace_s)
        self.watchers = Watchers()
        self._client = client
        self._feed = Feed(self)
        self._is_open = False
        self._turns: asyncio.Task[None] | None = None
        self._standing = Standing(self)
        self._reload_wanted = False
        self._store_error: StoreError | None = None
        self._stream_ids = ClientIds(fresh_client_id)
        self._copy = LocalCopy(client.store, session, client.limits, life=client.life)
        self._texts = TextIndex(self._copy, self.message, client.keep)

    # Life

    async def load(self) -> None:
        """Read the local copy. Called by `Client.open`."""
        self.machine = await self._copy.load(self._client.subject)
        for known in self.machine.take_news():  # To nobody who reads changes; the search may not know it yet.
            self._changed(known.layer, known.entries, known.own)
        self._is_open = True
        self._take_turns()

    async def close(self) -> None:
        """Save what is not saved, and let go. The server keeps the session, and this disk its copy."""
        if self._is_open:
            self._texts.close()
            try:
                await self.saved()
                await self._texts.write()
            except StoreError as error:
                _log.warning("session_closed_unsaved", session=self.id, reason=str(error))
            self._is_open = False
            if self._turns is not None:
                self._turns.cancel()
                await asyncio.gather(self._turns, return_exceptions=True)
        self._standing.close()
        self._feed.close()
        closed = LocalProtocolError(f"session {self.id} was closed here: what is not synced goes out next time")
        self._waiting.close(closed)
        self.watchers.close(closed)
        self._client.closed(self)

    # Reading

    @property
    def status(self) -> Status:
        """Where it stands: live, reconnecting, offline, or refused with the reason."""
        return self._standing.status

    @property
    def unsynced(self) -> int:
        """How many own edits are not on the server's disk yet."""
        return self.machine.unsynced

    def view(self, *, page: int = 50, selected: Mapping[str, str] | None = None) -> View:
        """Return a look at this session's branches: the newest `page` messages of the one that is shown.

        `selected` is what `View.selected` was at another time.
        """
        return View(self, page=page, selected=selected)

    async def search(self, query: str, *, limit: int = 50) -> list[MessageView]:
        """Return this copy's messages that hold all words of `query`, best first."""
        await self._texts.write()
        hits = await self._client.store.search(query, session=self.id, limit=limit)
        return [view for hit in hits if (view := self.message(hit.message)) is not None]

    def people(self) -> list[Person]:
        """Return everybody on this session, this subject too: each once, over all devices, the most present first."""
        return self.audience.everyone()

    async def last_seen(self) -> Mapping[str, int | None]:
        """Return when everybody who takes part was last connected (Unix ms). Needs the network.

        None for never, and for somebody who is not here and was only addressed or made responsible.

        Raises:
            Unreachable: there is none.
            RequestFailed: the token does not name the session any more.
        """
        answer = await self._client.call("GET", f"/v1/sessions/{self.id}/people")
        return {row["subject"]: row["last_seen"] for row in answer["people"]}

    @property
    def title(self) -> str:
        """What the session is called, empty if nobody named it."""
        return called(self.state.map(STATE_ROOT).json())[0]

    @property
    def tags(self) -> tuple[str, ...]:
        """What the session is tagged with."""
        return called(self.state.map(STATE_ROOT).json())[1]

    def rename(self, title: str) -> None:
        """Call the session something else, for everybody."""
        self.state.map(STATE_ROOT)["title"] = title

    def set_tags(self, tags: Sequence[str]) -> None:
        """Tag the session, for everybody, in place of the tags that it has."""
        self.state.map(STATE_ROOT)["tags"] = [*tags]

    def set_activity(self, activity: str) -> None:
        """Say what the person does here: `active`, `idle` (looks on), or `hidden`. Unsaid, nobody counts as looking.

        Raises:
            LocalProtocolError: another word.
        """
        self.presence.update(activity=check_activity(activity))

    def changes(self) -> Changes:
        """Return what is new from now on, in order; first `CaughtUp`."""
        return self._feed.open(self.status)

    # What was written

    async def saved(self) -> None:
        """Return when every edit made so far is on this disk.

        Raises:
            StoreError: this disk did not take them.
        """
        await self._waiting.until_all_saved()

    async def synced(self) -> None:
        """Return when no own edit is left that is not on the server's disk."""
        while self.machine.unsynced:
            await self._waiting.until_none_unsynced()

    async def wait_synced(self, ticket: int) -> None:
        """Return when the edit of `ticket` is on the server's disk. See `Message.synced`."""
        await self._waiting.until_synced(ticket)

    async def refused(self) -> list[RefusedUpdate]:
        """Return own edits that the server refused: kept until `drop_refused`."""
        return await self._client.store.refused(self.id)

    async def drop_refused(self) -> None:
        """Let go of the refused edits."""
        await self._client.store.drop_refused(self.id, [update.row for update in await self.refused()])

    # What state, streams, runs and presence need

    @property
    def subject(self) -> str:
        """Who this device's token names."""
        return self._client.subject

    @property
    def clock_ahead_ms(self) -> int:
        """How far the server's clock was ahead of this machine's when it was last heard; 0 before that."""
        return self._client.clock_ahead_ms

    def claim(self, run: str, policy: str, attempts_max: int) -> bool:
        """Ask for a run that waits. Whether it was asked: only while the session is live."""
        asked = self.machine.claim(run, policy, attempts_max)
        self._client.wake_sender(self)
        return asked

    def edit_state(self, change: Callable[[Replica], bytes]) -> None:
        """See `state.StateHost`."""
        self._edit(Layer.STATE, change)

    def update_bytes_max(self) -> int:
        """See `state.StateHost`."""
        return self.machine.update_bytes_max()

    def state_replica(self) -> Replica:
        """See `state.StateHost`."""
        return self._replica(Layer.STATE)

    def state_roots(self) -> Mapping[str, Kind]:
        """See `state.StateHost`."""
        return self.machine.document(Layer.STATE).index.roots

    def take_stream_id(self) -> tuple[int, int]:
        """See `stream.StreamHost`."""
        client_id, new = self._stream_ids.take()
        if new:
            self.machine.declare([client_id])
        return client_id, self.machine.document(Layer.TRANSCRIPT).index.state.get(client_id, 0)

    def return_stream_id(self, client_id: int) -> None:
        """See `stream.StreamHost`."""
        self._stream_ids.give_back(client_id)

    def take_stream_update(self, update: bytes) -> None:
        """See `stream.StreamHost`."""
        self._edit_with(lambda: self.machine.take_own(Layer.TRANSCRIPT, update))

    @property
    def presence_bytes_max(self) -> int:
        """See `presence.PresenceHost`."""
        return self._client.presence_bytes_max

    def present(self) -> list[PresenceEntry]:
        """See `presence.PresenceHost`."""
        return list(self.machine.presence.values())

    def send_presence(self, state: Json) -> None:
        """See `presence.PresenceHost`."""
        self.machine.set_presence(state)
        self._client.wake_sender(self)

    def _edit(self, layer: Layer, change: Callable[[Replica], bytes]) -> int | None:
        return self._edit_with(lambda: self.machine.edit(layer, change))

    def _edit_with(self, edit: Callable[[], int | None]) -> int | None:
        if not self._is_open:
            raise LocalProtocolError(f"session {self.id} is closed here: open it again to write")
        if self._store_error is not None:
            raise self._store_error
        try:
            ticket = edit()
        except (ReplicaBroken, Rejected) as error:
            self.reload()
            raise LocalProtocolError(f"this edit does not fit the session: {error}") from error
        finally:
            self._take_turns()
        if ticket is not None:
            self._waiting.took(ticket)
        return ticket

    # Turns: store, then tell, then send

    def _take_turns(self) -> None:
        """Have what is pending stored, told and sent."""
        if self._is_open and (self._turns is None or self._turns.done()):
            self._turns = asyncio.create_task(self._run(), name=f"session {self.id}")
            self._turns.add_done_callback(self._turns_ended)

    def _turns_ended(self, turns: asyncio.Task[None]) -> None:
        """See that nobody waits for turns that nobody takes: a program that ends cancels all its tasks at once."""
        if turns.cancelled():
            if self._has_turn():
                self._take_turns()
        elif (error := turns.exception()) is not None:
            _log.error("turns_failed", session=self.id, error=repr(error))
            self._store_error = StoreError(f"the copy has to be read anew: {type(error).__name__}: {error}")
            self._waiting.not_stored(self._store_error)
            asyncio.get_running_loop().call_later(_RETRY_S, self._take_turns)

    def _has_turn(self) -> bool:
        return self._copy.busy or self.machine.pending() or self._reload_wanted or self._store_error is not None

    async def _run(self) -> None:
        """The only task that stores turns and replaces the machine: one at a time, in order. Ends when none is left."""
        if self._store_error is not None:
            await self._store_failed(self._store_error)
        while self._has_turn():
            try:
                await self._turn()
            except StoreError as error:
                await self._store_failed(error)
        self._client.wake_sender(self)

    async def _turn(self) -> None:
        for event in await self._copy.commit(self.machine, self._client.subject):
            self._happened(event)
        try:
            await self._copy.fold(self.state_roots())
        except StorageFull as error:
            _log.warning("fold_waits", session=self.id, reason=str(error))
        if self._reload_wanted:
            await self._reload()

    async def _store_failed(self, error: StoreError) -> None:
        """This disk did not take it: say so to whoever waits, and go back to what is on it."""
        _log.warning("store_failed", session=self.id, error=type(error).__name__, reason=str(error))
        self._store_error = error  # An edit made from here on would stand on what is not stored.
        self._waiting.not_stored(error)
        self._standing.set(Status(Link.OFFLINE, reason=f"this device's store: {error}"))
        old = self.machine
        old.disconnect()
        while True:
            try:
                machine = await self._copy.load(self._client.subject, old)
                break
            except StoreError as again:
                self._store_error = again
                await asyncio.sleep(_RETRY_S)
        self._store_error = None
        self._reload_wanted = False
        self._adopt(old, machine)
        self._standing.reopen_in(_RETRY_S)

    def _happened(self, event: Event) -> None:
        match event:
            case Saved(tickets):
                self._waiting.saved(tickets)
            case Synced(tickets):
                self._waiting.synced(tickets)
                self._maybe_all_synced()
            case Changed(layer, entries, own):
                self._changed(layer, entries, own)
            case CaughtUp(count):
                self._standing.opened(storage_full=self.machine.storage_full)
                self._feed.caught_up(count)
                self.watchers.tell()
            case PresenceMoved(entries):
                self.audience.take(entries)
                self._feed.presence(entries)
            case Refused(tickets, code, reason):
                self._waiting.refused(tickets, str(code), reason)
                self._feed.refused(str(code), reason)
                self._maybe_all_synced()
            case Reload():
                self.reload()
            case Shut(code, reason):
                self._shut(Shut(code, reason))
            case StorageMoved(full):
                self._standing.storage(full)

    def _changed(self, layer: Layer, entries: Sequence[tuple[str, str]], own: bool) -> None:
        if layer is Layer.TRANSCRIPT:
            self.watchers.tell(entries)
        self._texts.changed(self._feed.changed(layer, entries, own=own))

    def _maybe_all_synced(self) -> None:
        if not self.machine.unsynced:
            self._waiting.none_unsynced()

    # The link, as the client tells it

    def receive(self, message: ServerMessage) -> None:
        """Take a frame of this session."""
        if isinstance(message, Opened):  # It may hold a whole session.
            with uncollected():
                self.machine.receive(message)
        else:
            self.machine.receive(message)
        self._take_turns()

    def tick(self, now: float) -> None:
        """Let time pass: `now` is monotonic, in seconds."""
        self.machine.tick(now)
        if self.machine.pending():
            self._take_turns()

    def link_up(self) -> None:
        """A link is there: open the session on it."""
        if not self._standing.refused and self.machine.state is LinkState.CLOSED and not self._reload_wanted:
            self.machine.frame_bytes_max = self._client.frame_bytes_max
            self.machine.connect()
            self._client.wake_sender(self)

    def link_down(self, status: Status) -> None:
        """The link is gone, or comes back; `status` says which."""
        if self.machine.state is not LinkState.CLOSED:
            self.machine.disconnect()
            self._take_turns()
        self._standing.link_down(status)

    def _shut(self, shut: Shut) -> None:
        if shut.code == CloseCode.RESYNC:
            # Pushed before what it stands on, it may be another process' edit that this one has to push as well.
            self._reload_wanted = True
        self._standing.shut(shut, storage_full=self.machine.storage_full)

    def retry(self) -> None:
        """Open again what the server refused: the token is another, or the app says that something changed."""
        self._standing.retry()

    def open_again(self) -> None:
        """See `standing.StandingHost`."""
        if self._client.connected and self.machine.state is LinkState.CLOSED:
            self._client.leave(self)
            self.link_up()

    def backoff_s(self, attempts: int, *, at_least_s: float) -> float:
        """See `standing.StandingHost`."""
        return self._client.backoff_s(attempts, at_least_s=at_least_s)

    def stands(self, status: Status) -> None:
        """See `standing.StandingHost`."""
        self._feed.status(status)

    # Loading anew

    def reload(self) -> None:
        """Have the machine made anew from what is stored: this one's documents hold what they should not, or failed."""
        self._reload_wanted = True
        self._take_turns()

    async def _reload(self) -> None:
        """Make a new machine from the store. What was edited meanwhile is stored first, so nothing is lost."""
        old = self.machine
        old.disconnect()
        while True:
            while old.pending():
                for event in await self._copy.commit(old, self._client.subject):
                    self._happened(event)
            # Folding collects what was deleted: bytes that break a document which keeps it do no harm after that.
            await self._copy.fold(self.state_roots(), now=True)
            machine = await self._copy.load(self._client.subject, old)
            if not old.pending():
                break
        self._reload_wanted = False
        self._adopt(old, machine)
        if self._client.connected and not self._standing.waits:
            self._client.leave(self)
            self.link_up()

    def _adopt(self, old: ClientMachine, machine: ClientMachine) -> None:
        """Put a freshly loaded machine in the old one's place."""
        machine.rights, machine.storage_full = old.rights, old.storage_full
        self.machine = machine
        self._stream_ids = ClientIds(fresh_client_id)
        self.presence.repeat()
        self._read_anew()
        self._maybe_all_synced()
        self._feed.replaced([view.id for view in self.messages()], self.state_roots())
        runs = [(Root.RUNS, run_key(view.id, view.attempt)) for view in self.runs()]
        self._feed.changed(Layer.TRANSCRIPT, runs, own=False)
        self.watchers.tell()

    async def absorb_others(self) -> None:
        """Take what other processes wrote into the same store."""
        if rows := await self._copy.others(self._client.subject):
            self.machine.absorb(rows)
            self._take_turns()
