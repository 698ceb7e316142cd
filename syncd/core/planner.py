"""Planner: one pass over a decoded update, which finds every struct's place in the document or refuses the update.

Changes nothing. Knows nothing of bytes or of who writes.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from syncd.core.errors import RejectCode, Rejected
from syncd.core.plan import Deletion, Insert, Plan, TypeRecord
from syncd.core.shape import fits, kind_from_content
from syncd.core.spans import DEAD, Place, Ranges, Spans
from syncd.core.update import Content, DecodedUpdate, Id, Kind, Struct

if TYPE_CHECKING:
    from syncd.core.index import ContainerIndex

_GC: Final = int(Content.GC)
_DELETED: Final = int(Content.DELETED)


class _Section:
    """One client's structs on their way: up to clock `placed` they have places; below `base` they are known."""

    __slots__ = ("base", "client", "end", "next", "placed", "runs", "structs")

    def __init__(self, client: int, structs: list[Struct], base: int, end: int) -> None:
        self.client = client
        self.structs = structs
        self.base = base
        self.end = end
        self.placed = structs[0][0]
        self.next = 0
        self.runs = Spans()


class Planner:
    """Plans one update for one index.

    1. A struct has a place only after everything it refers to has one; a circle has none.
    2. Each struct is looked at once, and once more for each time it had to wait.
    3. What `trusted` waives: limits, right origins, surrogate pairs. Never what keeps the index true.
    """

    def __init__(self, index: "ContainerIndex", update: DecodedUpdate, plan: Plan, *, trusted: bool) -> None:
        self._index = index
        self._state = index.state
        self._shape = index.shape
        self._update = update
        self._plan = plan
        self._trusted = trusted
        self._surrogates = bool(index.low_surrogates or update.low_surrogates) and not trusted
        self._sections: dict[int, _Section] = {}
        self._missing: Id = (0, 0)
        self._guessed: set[str] = set()

    def run(self) -> None:
        """Fill the plan.

        Raises:
            Rejected: as `ContainerIndex.plan`.
        """
        for client, structs in self._update.sections.items():
            base = self._state.get(client, 0)
            if structs[0][0] > base:
                raise Rejected(RejectCode.GAP, "clocks are missing before the update's first")
            end = structs[-1][0] + structs[-1][1]
            self._sections[client] = _Section(client, structs, base, end)
        for section in self._sections.values():
            waits_for = self._advance(section, section.end)
            if waits_for is not None:
                self._advance_in_order(section, waits_for)
            if section.end > section.base:
                self._plan.ends[section.client] = section.end
                self._plan.placed[section.client] = section.runs
        for client, start, end in self._update.deletes:
            self._delete(client, start, end)
        for client, lows in self._update.low_surrogates.items():
            self._plan.low_surrogates[client] = lows[bisect_left(lows, self._state.get(client, 0)) :]

    def _advance_in_order(self, section: _Section, waits_for: Id) -> None:
        """Give places to other sections' structs as far as `section` needs them, and so on; then to all of `section`.

        A stack instead of repeated passes over all sections, which hostile references would make quadratic.
        """
        stack = [(section, section.end)]
        waiting = {section.client}
        while stack:
            client, clock = waits_for
            target = self._sections.get(client)
            if target is None or clock >= target.end or client in waiting:  # Invariant 1.
                raise Rejected(RejectCode.UNKNOWN_REFERENCE, "a reference to nothing, to itself or in a circle")
            stack.append((target, clock + 1))
            waiting.add(client)
            while stack:
                current, until = stack[-1]
                blocked = self._advance(current, until)
                if blocked is not None:
                    waits_for = blocked
                    break
                stack.pop()
                waiting.discard(current.client)

    def _advance(self, section: _Section, until: int) -> Id | None:
        """Give places to structs until clock `until` has one; return the id that the next one waits for, or None."""
        structs, client, base = section.structs, section.client, section.base
        while section.placed < until:
            struct = structs[section.next]
            clock, length, content = struct[0], struct[1], struct[2]
            end = clock + length
            place = DEAD if content == _GC else self._place(client, struct)
            if place is None:
                return self._missing
            start = clock
            if clock < base:
                self._check_overlap(section, struct, place)
                start = base
            if end > base:
                if place is not DEAD:
                    self._admit(place, client, struct)
                section.runs.append(start, place)
                container, key = place
                if container is not None:
                    self._plan.inserts.append(Insert(container, key, client, start, end, content))
                if container is None or content == _DELETED:
                    self._plan.born_deleted.setdefault(client, Ranges()).add(start, end)
            section.placed = end
            section.next += 1
        return None

    def _place(self, client: int, struct: Struct) -> Place | None:
        """Return where a struct lies; None, and the id in `_missing`, if something it refers to has no place yet."""
        clock, _, _, origin, right_origin, parent, key, _ = struct
        place: Place | None
        if origin is not None:
            place = self._locate(origin, client, clock)
            if place is None:
                return None
            if self._surrogates and self._is_low(origin[0], origin[1] + 1):
                _split()
            if right_origin is None:
                return place
            right = self._locate_right(right_origin, client, clock)
            if right is not None and right != place:
                raise Rejected(RejectCode.WRONG_CONTENT, "origins in two containers")
            return right
        if right_origin is not None:
            return self._locate_right(right_origin, client, clock)
        if type(parent) is str:
            return parent, key
        assert type(parent) is tuple
        place = self._locate(parent, client, clock)
        if place is None or place is DEAD:
            return place
        if parent in self._index.types or parent in self._plan.types:
            return parent, key
        if not self._born_deleted(parent):
            raise Rejected(RejectCode.WRONG_CONTENT, "a parent that is no shared type")
        return DEAD

    def _locate_right(self, right_origin: Id, client: int, clock: int) -> Place | None:
        if not (self._shape.right_origins or self._trusted):  # Invariant 3.
            raise Rejected(RejectCode.RIGHT_ORIGIN, "a right origin in the transcript")
        if self._surrogates and self._is_low(right_origin[0], right_origin[1]):
            _split()
        return self._locate(right_origin, client, clock)

    def _locate(self, ref: Id, by_client: int, by_clock: int) -> Place | None:
        """Return the place of `ref`, which the struct at `by_clock` of `by_client` refers to."""
        client, clock = ref
        if client == by_client and clock >= by_clock:
            raise Rejected(RejectCode.UNKNOWN_REFERENCE, "a reference to itself or to what comes later")
        if clock < self._state.get(client, 0):
            return self._index.runs[client].at(clock)
        section = self._sections.get(client)
        if section is not None and clock < section.placed:
            return section.runs.at(clock)
        self._missing = ref
        return None

    def _born_deleted(self, ref: Id) -> bool:
        """Whether `ref` was deleted when it got here, so that it may have been a type once."""
        client, clock = ref
        ranges = self._index.born_deleted if clock < self._state.get(client, 0) else self._plan.born_deleted
        return client in ranges and clock in ranges[client]

    def _check_overlap(self, section: _Section, struct: Struct, place: Place) -> None:
        """Refuse a struct whose known part lies elsewhere. A GC struct covers whatever its writer has forgotten.

        Structs that are known as a whole count too: Yjs waits for what they refer to, and cuts text there.
        """
        clock, length, content = struct[0], struct[1], struct[2]
        end = min(clock + length, section.base)
        if end < clock + length and self._surrogates and self._is_low(section.client, end):
            _split()
        if content == _GC:
            return
        for known, _, _ in self._index.runs[section.client].pieces(clock, end):
            if known != place:
                raise Rejected(RejectCode.OVERLAP, "clocks that are known already lie elsewhere")

    def _admit(self, place: Place, client: int, struct: Struct) -> None:
        """Check that a struct fits its container; take note of types and of roots that are new."""
        container, key = place
        clock, length, content, kind = struct[0], struct[1], struct[2], struct[7]
        if type(container) is str:
            depth = 0
            container_kind = self._root_kind(container, key, content, kind)
            root, top_key = container, key or ""
            if container_kind is None:
                return
        else:
            assert type(container) is tuple
            container_kind, depth, root, top_key = self._index.types.get(container) or self._plan.types[container]
        if not fits(container_kind, key is not None, content, length, kind):
            raise Rejected(RejectCode.WRONG_CONTENT, "content of a kind that its container cannot hold")
        if kind is not None:
            if kind not in self._shape.kinds:
                raise Rejected(RejectCode.WRONG_CONTENT, "XML in the transcript")
            if depth >= self._shape.depth_max and not self._trusted:  # Invariant 3.
                raise Rejected(RejectCode.TOO_DEEP, f"shared types nested more than {self._shape.depth_max} deep")
            self._plan.types[client, clock] = TypeRecord(kind, depth + 1, root, top_key)

    def _root_kind(self, root: str, key: str | None, content: int, kind: Kind | None) -> Kind | None:
        """Return a root's kind, from this content if it has not shown before."""
        fixed = self._shape.roots
        if fixed is not None:
            entry = fixed.get(root)
            if entry is None:
                raise Rejected(RejectCode.WRONG_ROOT, "a root that the transcript does not have")
            if content != _DELETED and (content != entry or (kind is not None and kind is not Kind.MAP)):
                raise Rejected(RejectCode.WRONG_CONTENT, f"an entry of {root} of the wrong kind")
            return Kind.MAP
        known = self._index.roots.get(root)
        if known is not None:
            return known
        plan = self._plan
        if root in plan.new_roots and root not in self._guessed:
            return plan.new_roots[root]
        is_new = root not in plan.roots_seen and root not in self._index.roots_seen
        if is_new:
            if root == "__proto__" and not self._trusted:
                # Roots are keys of a map in `Opened`, and JavaScript's msgpack refuses this one.
                raise Rejected(RejectCode.WRONG_ROOT, "a root named __proto__")
            if len(self._index.roots_seen) + len(plan.roots_seen) >= self._shape.roots_max and not self._trusted:
                raise Rejected(RejectCode.WRONG_ROOT, f"more than {self._shape.roots_max} roots")
            plan.roots_seen.add(root)
        shown = kind_from_content(key is not None, content, kind)
        if shown is None:
            return plan.new_roots.get(root)
        shown_kind, certain = shown
        if root in self._guessed:
            return self._settle(root, shown_kind, certain)
        if shown_kind is Kind.MAP and not is_new:
            raise Rejected(RejectCode.WRONG_CONTENT, "a key in a root that has had content without")
        if not certain:
            self._guessed.add(root)
        plan.new_roots[root] = shown_kind
        return shown_kind

    def _settle(self, root: str, shown: Kind, certain: bool) -> Kind:
        """Correct a guess at a root's kind: nested types alone may lie in a text, an array or, XML, in a fragment."""
        new_roots = self._plan.new_roots
        if shown is not Kind.MAP and (certain or new_roots[root] is Kind.XML_FRAGMENT):
            new_roots[root] = shown
        if certain:
            self._guessed.discard(root)
        return new_roots[root]

    def _delete(self, client: int, start: int, end: int) -> None:
        """Put into the plan what of a deleted range was not deleted before."""
        base = self._state.get(client, 0)
        section = self._sections.get(client)
        if end > (base if section is None else max(base, section.end)):
            raise Rejected(RejectCode.UNKNOWN_REFERENCE, "a deletion of what is not known")
        if self._surrogates and (self._is_low(client, start) or self._is_low(client, end)):
            _split()
        index = self._index
        if start < base:
            self._delete_part(client, start, min(end, base), index.deleted.get(client), index.runs[client])
        if end > base and section is not None:
            self._delete_part(client, max(start, base), end, self._plan.born_deleted.get(client), section.runs)

    def _delete_part(self, client: int, start: int, end: int, deleted: Ranges | None, runs: Spans) -> None:
        for part_start, part_end in ((start, end),) if deleted is None else deleted.missing(start, end):
            for (container, key), piece_start, piece_end in runs.pieces(part_start, part_end):
                assert container is not None  # what is dead is in `deleted`
                self._plan.deletions.append(Deletion(container, key, client, piece_start, piece_end))

    def _is_low(self, client: int, clock: int) -> bool:
        known = clock < self._state.get(client, 0)
        lows: Sequence[int] | None = (self._index if known else self._update).low_surrogates.get(client)
        if lows is None:
            return False
        at = bisect_left(lows, clock)
        return at < len(lows) and lows[at] == clock


def _split() -> None:
    raise Rejected(RejectCode.SPLIT_SURROGATE, "a reference into the middle of a character")
