"""Replica: one Yjs document in memory. The only module that imports pycrdt.

Bytes in and bytes out, plain values in and out; no pycrdt object leaves it. Knows nothing of authors, peers or logs,
and trusts its caller to have judged an update before it arrives here (see `index`).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeVar

from pycrdt import Array, Doc, Map, Text, UndoManager, XmlElement, XmlFragment, XmlText, merge_updates

from syncd.core.errors import LocalProtocolError, SyncdError
from syncd.core.messages import Json
from syncd.core.update import EMPTY_UPDATE, Kind
from syncd.core.varint import decode_state_vector

#: `merge_updates` is quadratic in the number of updates: 100 cost 0.12 ms, 10,000 cost 440.
MERGE_MAX: Final = 64
#: A hundred tokens or so: 1 to 2 µs each then, against 10 µs one by one and 40 µs a thousand at a time.
_TRANSACTION_BYTES: Final = 4_096
#: A merged update is applied as a whole, wherever it is read: some thousand small structs, 5 ms.
_BATCH_BYTES: Final = 16_384
#: Origin of transactions of this replica's own user, so that undo leaves others' edits alone.
_OWN: Final = "own"
_ROOT_TYPES: Final[dict[Kind, type[Any]]] = {
    Kind.ARRAY: Array,
    Kind.MAP: Map,
    Kind.TEXT: Text,
    Kind.XML_FRAGMENT: XmlFragment,
}
#: The kinds that a root may have.
ROOT_KINDS: Final = frozenset(_ROOT_TYPES)

T = TypeVar("T")


class ReplicaBroken(SyncdError):
    """pycrdt failed. Its document may be half changed: throw the replica away and load it again from the log."""


class SharedMap(dict[str, Any]):
    """A value that becomes a shared map when it is written."""


class SharedList(list[Any]):
    """A value that becomes a shared list when it is written."""


class SharedText(str):
    """A value that becomes a shared text when it is written."""

    __slots__ = ()


class Replica:
    """One document, its roots made with their kinds before anything is applied.

    1. After any failure inside pycrdt it refuses every further call: used on, such a document aborts or hangs the
       process.
    2. No handle to a nested type outlives a call: writing through one whose parent was deleted meanwhile is a use
       after free.
    3. A replica with undo keeps deleted content (`skip_gc`): pycrdt's undo crashes where it was collected. `fold` is
       where that content goes.
    4. No observer is registered while remote updates are applied.
    """

    def __init__(self, roots: Mapping[str, Kind], *, client_id: int | None = None, undo: bool = False) -> None:
        """Make an empty document. With `client_id` it may be written, under that id; without, it is only read.

        `undo` makes `track_undo` and `undo` possible.
        """
        self.client_id = client_id
        self._undoable = undo
        self._doc: Doc[Any] | None = Doc(client_id=client_id, skip_gc=undo)  # Invariant 3.
        self._roots: dict[str, Any] = {}
        self._undo: UndoManager | None = None
        for name, kind in roots.items():
            self.ensure_root(name, kind)

    def ensure_root(self, name: str, kind: Kind) -> None:
        """Make a root with its kind, unless it is there.

        Raises:
            ReplicaBroken: it is there with another kind, and reading it under that could take for ever.
        """
        found = self._roots.get(name)
        if found is None:
            self._roots[name] = self._live().get(name, type=_ROOT_TYPES[kind])
        elif type(found) is not _ROOT_TYPES[kind]:
            self._break(LocalProtocolError(f"the root {name} is another kind here"), half_done=True)

    # Updates

    def apply(self, updates: Iterable[bytes]) -> None:
        """Apply judged updates, in order.

        Raises:
            ReplicaBroken: pycrdt failed; drop this replica.
        """
        doc = self._live()
        queue = list(updates)
        queue.reverse()
        try:
            while queue:
                size = 0
                with doc.transaction():
                    # A transaction takes time in the square of its structs, a small one is dear by itself.
                    while queue and size < _TRANSACTION_BYTES:
                        update = queue.pop()
                        size += len(update)
                        doc.apply_update(update)
        except BaseException as error:  # noqa: BLE001 - a panic of pycrdt is no Exception
            self._break(error)

    def diff(self, vector: bytes | None = None) -> bytes:
        """Return what a document at state `vector` lacks, all deletions included; everything without one."""
        return self._call(lambda doc: doc.get_update(vector) if vector is not None else doc.get_update())

    def vector(self) -> dict[int, int]:
        """Return the state vector: client id to next clock."""
        state = self._call(lambda doc: doc.get_state())
        return decode_state_vector(state, clients_max=1 << 31)

    def edit(self, change: Callable[[Replica], None]) -> bytes:
        """Run `change`, which writes through this replica, as one transaction; return its update.

        `change` must check its arguments before it writes: nothing is rolled back when it raises half-way.

        Raises:
            ReplicaBroken: pycrdt failed.
        """
        if self.client_id is None:
            raise LocalProtocolError("this replica is read-only: make it with a client id to write")
        doc = self._live()
        updates: list[bytes] = []
        subscription = doc.observe(lambda event: updates.append(event.update))
        try:
            with doc.transaction(origin=_OWN):
                change(self)
        except BaseException as error:  # noqa: BLE001 - a panic of pycrdt is no Exception
            # A transaction left by an exception is committed all the same: what is half done must not stay.
            self._break(error, half_done=bool(updates))
        finally:
            doc.unobserve(subscription)
        return merge(updates) if updates else EMPTY_UPDATE

    # Reading and writing, by path: root, then keys and positions

    def read(self, *path: str | int) -> Json:
        """Return the plain value at `path`, None where there is nothing.

        Shared types come as dict, list and str, XML as its text, whole floats as int, bytes in base64. Bounded by the
        depth that the index allows.
        """
        return self._call(lambda _: _plain(self._find(path)))

    def keys(self, *path: str | int) -> list[str]:
        """Return the keys of the map at `path`."""
        found = self._call(lambda _: self._find(path))
        return list(self._call(lambda _: found.keys())) if isinstance(found, Map) else []

    def contains(self, *path: str | int) -> bool:
        """Whether there is something at `path`, be it a null."""

        def look(_: Doc[Any]) -> bool:
            parent = self._find(path[:-1]) if len(path) > 1 else None
            step = path[-1]
            if isinstance(parent, Map | dict) and isinstance(step, str):
                return step in parent
            return self._find(path) is not None

        return self._call(look)

    def set(self, path: Sequence[str | int], key: str, value: Any) -> None:
        """Set `key` of the map at `path`. Only within `edit`."""
        self._need(path, Map)[key] = _shared(value)

    def remove(self, path: Sequence[str | int], key: str) -> None:
        """Remove `key` of the map at `path`, if it is there. Only within `edit`."""
        found = self._need(path, Map)
        if key in found:
            del found[key]

    def insert(self, path: Sequence[str | int], index: int, values: Sequence[Any]) -> None:
        """Insert `values` into the list at `path`. Only within `edit`."""
        found = self._need(path, Array)
        _check_range(index, index, len(found))
        for offset, value in enumerate(values):
            found.insert(index + offset, _shared(value))

    def delete(self, path: Sequence[str | int], start: int, end: int) -> None:
        """Delete the items `start` up to `end` of the list at `path`. Only within `edit`."""
        found = self._need(path, Array)
        _check_range(start, end, len(found))
        if end > start:
            del found[start:end]

    def length(self, *path: str | int) -> int:
        """Return the length of the list, map or text (in code points, an embed counting one) at `path`."""
        found = self._call(lambda _: self._find(path))
        if isinstance(found, Text):
            return sum(len(run) if isinstance(run, str) else 1 for run in _runs(found))
        return len(found) if isinstance(found, Array | Map) else 0

    def text_append(self, path: Sequence[str | int], text: str) -> None:
        """Append to the text at `path`. Only within `edit`."""
        found = self._need(path, Text)
        found += text

    def text_replace(self, path: Sequence[str | int], start: int, end: int, text: str) -> None:
        """Replace the code points `start` up to `end` of the text at `path` by `text`. Only within `edit`."""
        found = self._need(path, Text)
        runs = _runs(found)
        _check_range(start, end, sum(len(run) if isinstance(run, str) else 1 for run in runs))
        # pycrdt counts UTF-8 bytes, and an index within a character silently hits its neighbours.
        first, last = _byte_offset(runs, start), _byte_offset(runs, end)
        if last > first:
            del found[first:last]
        if text:
            found.insert(first, text)

    # Undo

    def track_undo(self, name: str) -> None:
        """Have `undo` cover the root `name`: this replica's own edits only."""
        if not self._undoable:
            raise LocalProtocolError("this replica was made without undo")
        if self._undo is None:
            self._undo = UndoManager(scopes=[self._roots[name]])
            self._undo.include_origin(_OWN)
        else:
            self._undo.expand_scope(self._roots[name])

    def undo(self, *, redo: bool = False) -> bytes:
        """Undo (or redo) the last own edits; return the update, empty if there was nothing to undo."""
        manager, doc = self._undo, self._live()
        if manager is None:
            return EMPTY_UPDATE
        updates: list[bytes] = []
        subscription = doc.observe(lambda event: updates.append(event.update))
        try:
            _ = manager.redo() if redo else manager.undo()
        except BaseException as error:  # noqa: BLE001 - a panic of pycrdt is no Exception
            self._break(error)
        finally:
            doc.unobserve(subscription)
        return merge(updates) if updates else EMPTY_UPDATE

    # Inside

    def _live(self) -> Doc[Any]:
        if self._doc is None:
            raise ReplicaBroken("this replica failed before: load the document again")  # Invariant 1.
        return self._doc

    def _call(self, act: Callable[[Doc[Any]], T]) -> T:
        doc = self._live()
        try:
            return act(doc)
        except BaseException as error:  # noqa: BLE001 - a panic of pycrdt is no Exception
            self._break(error)

    def _break(self, error: BaseException, *, half_done: bool = False) -> NoReturn:
        """Pass on what is not pycrdt's; for all else drop the document. Its panics are no `Exception`."""
        if not half_done and isinstance(error, SyncdError | KeyboardInterrupt | SystemExit | GeneratorExit):
            raise error
        self._doc = self._undo = None
        self._roots = {}
        raise ReplicaBroken(f"the document failed: {type(error).__name__}: {error}") from error

    def _find(self, path: Sequence[str | int]) -> Any:
        found = self._roots.get(path[0]) if isinstance(path[0], str) else None
        for step in path[1:]:
            if isinstance(found, Map) and isinstance(step, str):
                found = found.get(step)
            elif isinstance(found, Array) and isinstance(step, int):
                found = found[step] if -len(found) <= step < len(found) else None
            elif isinstance(found, dict | list):
                found = _plain_step(found, step)
            else:
                return None
        return found

    def _need(self, path: Sequence[str | int], kind: type[T]) -> T:
        found = self._find(path)
        if not isinstance(found, kind):
            raise LocalProtocolError(f"there is no {kind.__name__.lower()} at {'/'.join(map(str, path))}")
        return found


def merge(updates: Sequence[bytes]) -> bytes:
    """Merge a batch of consecutive updates into one, without a document. For batches, not for histories: see `fold`."""
    while len(updates) > 1:
        try:
            updates = [
                merge_updates(*updates[at : at + MERGE_MAX]) if at + 1 < len(updates) else updates[at]
                for at in range(0, len(updates), MERGE_MAX)
            ]
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise ReplicaBroken(f"merging failed: {type(error).__name__}: {error}") from error
    return updates[0]


def merge_batch(updates: Sequence[bytes]) -> list[bytes]:
    """Merge consecutive updates into few, none so large that it is dear to apply, unless it came so."""
    merged: list[bytes] = []
    group: list[bytes] = []
    size = 0
    for update in updates:
        if group and size + len(update) > _BATCH_BYTES:
            merged.append(merge(group))
            group, size = [], 0
        group.append(update)
        size += len(update)
    return [*merged, merge(group)]


def fold(roots: Mapping[str, Kind], updates: Iterable[bytes]) -> bytes:
    """Return one update that holds what `updates` hold, through a document that drops deleted content.

    Raises:
        ReplicaBroken: pycrdt failed.
    """
    replica = Replica(roots)
    replica.apply(updates)
    return replica.diff()


def _shared(value: Any) -> Any:
    """Turn the markers in `value` into pycrdt's types; everything else stays a plain value."""
    if isinstance(value, SharedMap):
        return Map({key: _shared(part) for key, part in value.items()})
    if isinstance(value, SharedList):
        return Array([_shared(part) for part in value])
    if isinstance(value, SharedText):
        return Text(str(value))
    check_value(value)
    return value


def check_value(value: Json, *, depth_max: int = 32) -> None:
    """Refuse what does not survive the trip through a document, before pycrdt sees it.

    Raises:
        LocalProtocolError: not JSON (keys that are no strings, NaN, infinity, lone surrogates, integers beyond 2^53,
            other types), a key `__proto__`, or nested deeper than `depth_max`.
    """
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        part, depth = stack.pop()
        if depth > depth_max:
            raise LocalProtocolError(f"a value is nested more than {depth_max} deep")
        if isinstance(part, str):
            _check_text(part)
        elif isinstance(part, bool) or part is None:
            continue
        elif isinstance(part, int):
            if abs(part) >= 1 << 53:
                raise LocalProtocolError("integers beyond 2^53 are not exact in every client: use a string")
        elif isinstance(part, float):
            if not math.isfinite(part):
                raise LocalProtocolError("NaN and infinity are not JSON")
        elif isinstance(part, list | tuple):
            stack.extend((item, depth + 1) for item in part)
        elif isinstance(part, dict):
            for key, item in part.items():
                if not isinstance(key, str):
                    raise LocalProtocolError("keys must be strings")
                if key == "__proto__":
                    raise LocalProtocolError("JavaScript cannot read a key named __proto__: use another")
                _check_text(key)
                stack.append((item, depth + 1))
        else:
            raise LocalProtocolError(f"{type(part).__name__} is not JSON")


def check_text(text: str) -> None:
    """Refuse a string that holds half a surrogate pair.

    Raises:
        LocalProtocolError: it does.
    """
    _check_text(text)


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise LocalProtocolError("text holds half a surrogate pair: decode it whole first") from error


def _plain(value: Any) -> Json:
    if isinstance(value, Map):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, Array):
        return [_plain(item) for item in value]
    if isinstance(value, Text | XmlText | XmlElement | XmlFragment):
        return str(value)
    if isinstance(value, float):
        if value.is_integer():
            return int(value)
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    return value


def _plain_step(found: Any, step: str | int) -> Any:
    if isinstance(found, dict):
        return found.get(step)
    return found[step] if isinstance(step, int) and -len(found) <= step < len(found) else None


def _runs(text: Any) -> list[Any]:
    """Return the strings and embeds of a text. Without embeds, which is usual, one string."""
    plain = str(text)
    if len(plain.encode()) == len(text):
        return [plain]
    return [content for content, _ in text.diff()]


def _byte_offset(runs: Sequence[Any], position: int) -> int:
    offset = 0
    for run in runs:
        if not isinstance(run, str):
            if position == 0:
                break
            offset, position = offset + 1, position - 1
        elif position <= len(run):
            return offset + len(run[:position].encode())
        else:
            offset, position = offset + len(run.encode()), position - len(run)
    return offset


def _check_range(start: int, end: int, length: int) -> None:
    if not 0 <= start <= end <= length:
        raise LocalProtocolError(f"positions {start} to {end} are outside of 0 to {length}")
