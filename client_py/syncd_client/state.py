"""Shared state: maps, lists and texts that everybody in a session edits together.

Handles name a root and look it up at each call, so they stay good when the document is loaded anew. Positions in
texts are code points. Knows nothing of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from syncd.core.codec import pack
from syncd.core.errors import LocalProtocolError
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import Json
from syncd.core.replica import Replica, check_text, check_value
from syncd.core.update import Kind

#: What an edit has beside its content: the names it is under, ids and clocks.
_OVERHEAD_BYTES = 1 << 10


class StateHost(Protocol):
    """What a state needs of its session."""

    def edit_state(self, change: Callable[[Replica], bytes]) -> None:
        """Have `change` write, and take what it wrote."""
        ...

    def update_bytes_max(self) -> int:
        """How large one edit may be."""
        ...

    def state_replica(self) -> Replica:
        """The state's replica, up to date."""
        ...

    def state_roots(self) -> Mapping[str, Kind]:
        """The kinds of the roots that have content."""
        ...


class SharedState:
    """The state layer of a session.

    An edit is applied at once and on its way to this disk when the call returns; `await session.saved()` returns when
    it is there, `await session.synced()` when it is on the server's.
    """

    def __init__(self, host: StateHost) -> None:
        self._host = host

    def map(self, name: str) -> StateMap:
        """Return the map `name`; it comes into being with its first key."""
        return StateMap(self._host, name)

    def list(self, name: str) -> StateList:
        """Return the list `name`; it comes into being with its first item."""
        return StateList(self._host, name)

    def text(self, name: str) -> StateText:
        """Return the text `name`; it comes into being with its first character."""
        return StateText(self._host, name)

    def json(self) -> dict[str, Json]:
        """Return everything, as plain values."""
        replica = self._host.state_replica()
        return {name: replica.read(name) for name in sorted(self._host.state_roots())}

    def undo(self) -> bool:
        """Undo this session object's last edits (those within half a second count as one); return whether any was."""
        return self._undo(redo=False)

    def redo(self) -> bool:
        """Redo what `undo` undid; return whether there was anything."""
        return self._undo(redo=True)

    def _undo(self, *, redo: bool) -> bool:
        done: list[bytes] = []

        def change(replica: Replica) -> bytes:
            done.append(replica.undo(redo=redo))
            return done[0]

        self._host.edit_state(change)
        return len(done[0]) > 2


class _Root:
    """One root of the state, of one kind."""

    KIND: Kind

    def __init__(self, host: StateHost, name: str) -> None:
        if not name or len(name.encode(errors="replace")) > DEFAULT_LIMITS.key_bytes_max:
            raise LocalProtocolError(f"a name has 1 to {DEFAULT_LIMITS.key_bytes_max} bytes")
        check_text(name)
        self._host = host
        self.name = name

    def _replica(self) -> Replica | None:
        """The replica to read from, None while there is nothing under this name."""
        kind = self._host.state_roots().get(self.name)
        if kind is None:
            return None
        if kind is not self.KIND:
            raise LocalProtocolError(
                f"{self.name!r} is a {kind.name.lower()} in this session, not a {self.KIND.name.lower()}"
            )
        return self._host.state_replica()

    def _edit(self, change: Callable[[Replica], None], *, content: Json = None) -> None:
        self._replica()
        # Before it is written, since what is too large would be in the document already. A little is left for keys.
        if len(pack(content)) > self._host.update_bytes_max() - _OVERHEAD_BYTES:
            raise LocalProtocolError(
                f"one edit holds at most {self._host.update_bytes_max()} bytes: make several of it"
            )

        def write(replica: Replica) -> bytes:
            replica.ensure_root(self.name, self.KIND)
            replica.track_undo(self.name)
            return replica.edit(change)

        self._host.edit_state(write)

    def json(self) -> Json:
        """Return the content as plain values, None while there is none."""
        replica = self._replica()
        return replica.read(self.name) if replica else None


class StateMap(_Root):
    """A shared map of JSON values. Of two who set a key at the same time one wins, for everybody alike."""

    KIND = Kind.MAP

    def __getitem__(self, key: str) -> Json:
        replica = self._replica()
        if replica is None or not replica.contains(self.name, key):
            raise KeyError(key)
        return replica.read(self.name, key)

    def get(self, key: str, default: Json = None) -> Json:
        """Return the value under `key`, or `default`."""
        replica = self._replica()
        return replica.read(self.name, key) if replica and replica.contains(self.name, key) else default

    def __contains__(self, key: str) -> bool:
        replica = self._replica()
        return replica is not None and replica.contains(self.name, key)

    def __setitem__(self, key: str, value: Json) -> None:
        if not key or len(key.encode(errors="replace")) > DEFAULT_LIMITS.key_bytes_max:
            raise LocalProtocolError(f"a key has 1 to {DEFAULT_LIMITS.key_bytes_max} bytes")
        check_text(key)
        check_value(value)
        self._edit(lambda replica: replica.set((self.name,), key, value), content=value)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._edit(lambda replica: replica.remove((self.name,), key))

    def __iter__(self) -> Iterator[str]:
        replica = self._replica()
        return iter(sorted(replica.keys(self.name)) if replica else [])

    def __len__(self) -> int:
        replica = self._replica()
        return replica.length(self.name) if replica else 0


class StateList(_Root):
    """A shared list of JSON values. What two insert at the same time both stay."""

    KIND = Kind.ARRAY

    def __len__(self) -> int:
        replica = self._replica()
        return replica.length(self.name) if replica else 0

    def __getitem__(self, index: int) -> Json:
        replica = self._replica()
        length = replica.length(self.name) if replica else 0
        if replica is None or not -length <= index < length:
            raise IndexError(index)
        return replica.read(self.name, index % length)

    def __iter__(self) -> Iterator[Json]:
        return iter(self.json() or [])

    def append(self, value: Json) -> None:
        """Add `value` at the end."""
        self.insert(len(self), value)

    def insert(self, index: int, value: Json) -> None:
        """Insert `value` before position `index` (0 to the length)."""
        check_value(value)
        if not 0 <= index <= len(self):
            raise IndexError(index)
        self._edit(lambda replica: replica.insert((self.name,), index, [value]), content=value)

    def __delitem__(self, index: int) -> None:
        length = len(self)
        if not -length <= index < length:
            raise IndexError(index)
        start = index % length
        self._edit(lambda replica: replica.delete((self.name,), start, start + 1))


class StateText(_Root):
    """A shared text. Positions are code points, as in Python's own strings."""

    KIND = Kind.TEXT

    def __str__(self) -> str:
        return str(self.json() or "")

    def __len__(self) -> int:
        replica = self._replica()
        return replica.length(self.name) if replica else 0

    def insert(self, position: int, text: str) -> None:
        """Insert `text` before `position`."""
        self.replace(position, position, text)

    def append(self, text: str) -> None:
        """Add `text` at the end."""
        check_text(text)
        if text:
            self._edit(lambda replica: replica.text_append((self.name,), text), content=text)

    def delete(self, start: int, end: int) -> None:
        """Delete the code points from `start` up to `end`."""
        self.replace(start, end, "")

    def replace(self, start: int, end: int, text: str) -> None:
        """Replace the code points from `start` up to `end` by `text`, as one edit.

        Raises:
            LocalProtocolError: the positions are outside of the text, or `text` holds half a surrogate pair.
        """
        check_text(text)
        if end and self._replica() is None:
            raise LocalProtocolError(f"positions {start} to {end} are outside of 0 to 0")
        if start == end and not text:
            return
        self._edit(lambda replica: replica.text_replace((self.name,), start, end, text), content=text)
