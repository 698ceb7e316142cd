"""Feed: turns what a session's machine says changed into the changes its readers get.

Knows which thing each changed entry belongs to; knows nothing of stores or links.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from syncd.core.ids import run_of_call, split_run_key
from syncd.core.messages import Json, Layer, PresenceEntry
from syncd.core.run_view import RunView, run_of_fact
from syncd.core.schema import Root
from syncd.core.transcript import MessageView
from syncd_client.changes import (
    Assigned,
    CaughtUp,
    Change,
    Changes,
    CommandChanged,
    EditRefused,
    Make,
    MessageChanged,
    PresenceChanged,
    ReadMoved,
    RunChanged,
    StateChanged,
    StatusChanged,
)
from syncd_client.status import Link, Status


class FeedHost(Protocol):
    """What a feed needs of its session: things as they are when a reader gets to them."""

    def message(self, message: str) -> MessageView | None:
        """Return a message."""
        ...

    def command_json(self, command: str) -> dict[str, Json] | None:
        """Return a command with its receipt."""
        ...

    def run(self, run: str) -> RunView | None:
        """Return a run."""
        ...

    def handed_over(self) -> Mapping[str, Json] | None:
        """Return the last hand-over of the session."""
        ...

    def reads(self) -> dict[str, int]:
        """Return how far each subject has read."""
        ...


class Feed:
    """All readers of one session's changes."""

    def __init__(self, host: FeedHost) -> None:
        self._host = host
        self._readers: list[Changes] = []
        self._caught_up = CaughtUp(0, live=False)

    def open(self, status: Status) -> Changes:
        """Return what is new from now on; first of all `CaughtUp`. `status` is the session's as it stands."""
        reader = Changes(self._readers.remove)
        caught_up = CaughtUp(self._caught_up.count, status.live and self._caught_up.live)
        reader.put("caught up", lambda: caught_up)
        if status.link is Link.REFUSED:  # Said before this reader listened, it will not be said again.
            reader.put("status", partial(StatusChanged, status))
        self._readers.append(reader)
        return reader

    def close(self) -> None:
        """End every reader's iteration."""
        for reader in list(self._readers):
            reader.close()

    def caught_up(self, count: int) -> None:
        """The session is live; `count` messages and commands came meanwhile."""
        self._caught_up = CaughtUp(count, live=True)
        self._put("caught up", partial(CaughtUp, count, live=True))

    def changed(self, layer: Layer, entries: Sequence[tuple[str, str]], *, own: bool) -> list[str]:
        """Top-level entries (root, key) of a layer changed. Return the ids of the messages among them."""
        if layer is Layer.STATE:
            for name, key in entries:
                self._put(("state", name, key), partial(StateChanged, name, key, own))
            return []
        messages = []
        for root, key in entries:
            prefix, _, receipted = key.partition(":") if root == Root.RECEIPTS else ("", "", key)
            if root == Root.MESSAGES or prefix == "m":
                messages.append(receipted)
                self._put(("message", receipted), partial(self._message, receipted, own))
            elif root == Root.COMMANDS or prefix == "c":
                self._put(("command", receipted), partial(self._command, receipted))
            elif root == Root.READS:
                self._put(("read", key), partial(self._read, key))
            elif prefix == "a":
                self._put("assigned", self._assigned)
            elif run := _run_of(root, key):
                self._put(("run", run), partial(self._run, run, own))
        return messages

    def replaced(self, messages: Iterable[str], names: Iterable[str]) -> None:
        """The documents were loaded anew: any of these messages and roots of the state may be another."""
        self.changed(Layer.TRANSCRIPT, [(Root.MESSAGES, id) for id in messages], own=False)
        self.changed(Layer.STATE, [(name, "") for name in names], own=False)

    def presence(self, entries: Iterable[PresenceEntry]) -> None:
        """Somebody came, changed or left."""
        for entry in entries:
            self._put(("presence", entry.peer), partial(PresenceChanged, entry))

    def status(self, status: Status) -> None:
        """The session went live, lost its link, or was refused."""
        self._put("status", partial(StatusChanged, status))

    def refused(self, code: str, reason: str) -> None:
        """The server refused own edits."""
        self._put(("refused", code), partial(EditRefused, code, reason))

    def _put(self, thing: str | tuple[str, ...], make: Make) -> None:
        for reader in self._readers:
            reader.put(thing, make)

    def _message(self, id: str, own: bool) -> Change | None:
        view = self._host.message(id)
        return MessageChanged(view, own) if view is not None else None

    def _command(self, id: str) -> Change | None:
        command = self._host.command_json(id)
        return CommandChanged(command) if command is not None else None

    def _run(self, id: str, own: bool) -> Change | None:
        view = self._host.run(id)
        return RunChanged(view, own) if view is not None else None

    def _assigned(self) -> Change | None:
        found = self._host.handed_over()
        return Assigned(str(found["to"]), str(found.get("by", "")), str(found.get("note", ""))) if found else None

    def _read(self, subject: str) -> Change:
        return ReadMoved(subject, self._host.reads().get(subject, 0))


def _run_of(root: str, key: str) -> str:
    """Return the run that an entry is about; empty if it is about none."""
    if root == Root.RUNS:
        return split_run_key(key)[0]
    if root != Root.RECEIPTS:
        return ""
    return run_of_call(key[2:]) if key.startswith("d:") else run_of_fact(key)
