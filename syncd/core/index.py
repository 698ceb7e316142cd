"""ContainerIndex: which container every clock of a document lies in; the shape rule.

Says of an update, before it is applied, whether it fits the document and what it changes: an overwrite in a map names
neither key nor map, a second element does not name its array. Knows nothing of bytes, pycrdt or of who writes.
"""

from array import array
from collections.abc import Mapping
from typing import Final

from syncd.core.errors import LocalProtocolError
from syncd.core.plan import Deletion, Insert, Plan, TypeRecord
from syncd.core.planner import Planner
from syncd.core.shape import LayerShape, state_shape, transcript_shape
from syncd.core.spans import DEAD, Container, Ranges, Spans
from syncd.core.update import DecodedUpdate, Id, Kind

__all__ = ["ContainerIndex", "Deletion", "Insert", "LayerShape", "Plan", "state_shape", "transcript_shape"]

_TEXTS: Final = frozenset({Kind.TEXT, Kind.XML_TEXT})


class ContainerIndex:
    """What one document holds, without its content.

    Planning the document's full state into a new index, with `roots`, gives an index that says the same of everything
    that is not deleted.

    1. `state` is the exact state vector of the committed plans.
    2. A root's kind never changes.
    3. Clocks are contiguous: each below a client's next clock has a place, or is dead.

    `state` maps client ids to their next clocks and `roots` names to kinds. `entries` maps, in a layer with fixed
    roots, each root and key to the client id that wrote the entry first, even if it has been overwritten or deleted.
    The other attributes are the planner's.
    """

    def __init__(self, shape: LayerShape, roots: Mapping[str, Kind] | None = None) -> None:
        self.shape = shape
        self.state: dict[int, int] = {}
        self.roots: dict[str, Kind] = dict.fromkeys(shape.roots or (), Kind.MAP) | dict(roots or {})
        self.entries: dict[str, dict[str, int]] = {root: {} for root in shape.roots or ()}
        self.roots_seen = set(self.roots)
        self.types: dict[Id, TypeRecord] = {}
        self.runs: dict[int, Spans] = {}
        self.deleted: dict[int, Ranges] = {}
        self.born_deleted: dict[int, Ranges] = {}
        self.low_surrogates: dict[int, array[int]] = {}
        self._commits = 0

    def plan(self, update: DecodedUpdate, *, trusted: bool = False) -> Plan:
        """Find out what `update` changes. Then check the plan, apply the update, and `commit` before the next plan.

        `trusted` is for the own store's documents, which were checked when they came: it waives limits, right origins
        and surrogate pairs.

        Raises:
            Rejected: `gap`, `unknown_reference`, `wrong_content`, `wrong_root`, `overlap`, `split_surrogate`,
                `right_origin` or `too_deep`. Nothing has changed.
        """
        plan = Plan(self._commits)
        Planner(self, update, plan, trusted=trusted).run()
        return plan

    def commit(self, plan: Plan) -> None:
        """Take over what a plan says. Call it once the update is certain to be kept.

        Raises:
            LocalProtocolError: another plan was committed since this one was made; plan again.
        """
        if plan.base != self._commits:
            raise LocalProtocolError("the plan is out of date; plan the update again")
        self._commits += 1
        self.state.update(plan.ends)
        for client, runs in plan.placed.items():
            known = self.runs.setdefault(client, runs)
            if known is not runs:
                known.extend(runs)
        self.types.update(plan.types)
        self.roots.update(plan.new_roots)  # Invariant 2: only those that had no kind yet.
        self.roots_seen |= plan.roots_seen
        for client, ranges in plan.born_deleted.items():
            for start, end in ranges:
                self.deleted.setdefault(client, Ranges()).add(start, end)
                self.born_deleted.setdefault(client, Ranges()).add(start, end)
        for _, _, client, start, end in plan.deletions:
            self.deleted.setdefault(client, Ranges()).add(start, end)
        for client, lows in plan.low_surrogates.items():
            self.low_surrogates.setdefault(client, array("I")).extend(lows)
        if self.entries:
            for container, key, client, *_ in plan.inserts:
                if type(container) is str and key is not None:
                    self.entries[container].setdefault(key, client)

    def text_entry(self, client: int) -> tuple[str, str] | None:
        """Return the root and top-level key of the text that `client` wrote last; None if that was no text."""
        runs = self.runs.get(client)
        container, key = DEAD if runs is None else runs.last
        if container is None or key is not None:
            return None
        if isinstance(container, str):
            return (container, "") if self.roots.get(container) in _TEXTS else None
        record = self.types[container]
        return (record.root, record.top_key) if record.kind in _TEXTS else None

    def extend(self, client: int, end: int) -> None:
        """Let the text that `client` wrote last go on up to clock `end`, as `continuation.find_continuation` found."""
        self._commits += 1
        self.state[client] = end

    def entry_of(self, container: Container, key: str | None) -> tuple[str, str] | None:
        """Return the root and top-level key that `key` of `container` lies under; None for an unknown container.

        The top-level key is empty for what lies in a root without keys.
        """
        if isinstance(container, str):
            return container, key or ""
        record = self.types.get(container)
        return None if record is None else (record.root, record.top_key)
