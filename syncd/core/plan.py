"""Plan: what an update will change in one document, known before anything is applied.

Knows nothing of how it was found out (`planner.py`) or of who may do it (`author.py`).
"""

from array import array
from typing import TYPE_CHECKING, NamedTuple

from syncd.core.spans import Container, Ranges, Spans
from syncd.core.update import Id, Kind

if TYPE_CHECKING:
    from syncd.core.index import ContainerIndex


class Insert(NamedTuple):
    """New content of `client`'s clocks `start` to `end` in `container`, under `key` where it has keys."""

    container: Container
    key: str | None
    client: int
    start: int
    end: int
    content: int


class Deletion(NamedTuple):
    """`client`'s clocks `start` to `end` in `container`, under `key` where it has keys, deleted for the first time."""

    container: Container
    key: str | None
    client: int
    start: int
    end: int


class TypeRecord(NamedTuple):
    """A nested shared type: its kind, its depth (1 below a root), the root and top-level key it lies under."""

    kind: Kind
    depth: int
    root: str
    top_key: str


class Plan:
    """What `ContainerIndex.plan` found out. Check it, apply the update, then give the plan to `commit`.

    `ends` maps each client id that advances to its next clock. `inserts` and `deletions` hold only what is new, in no
    particular order; content that arrives deleted is among the inserts, as `Content.DELETED`, and what belongs to a
    container that is gone is in neither. `new_roots` are the kinds of roots that this update shows first. `types`,
    `placed`, `born_deleted` and `low_surrogates` are for `commit`.
    """

    __slots__ = (
        "base",
        "born_deleted",
        "deletions",
        "ends",
        "inserts",
        "low_surrogates",
        "new_roots",
        "placed",
        "roots_seen",
        "touched_entries",
        "types",
    )

    def __init__(self, base: int) -> None:
        self.base = base
        self.ends: dict[int, int] = {}
        self.inserts: list[Insert] = []
        self.deletions: list[Deletion] = []
        self.new_roots: dict[str, Kind] = {}
        self.roots_seen: set[str] = set()
        self.types: dict[Id, TypeRecord] = {}
        self.placed: dict[int, Spans] = {}
        self.born_deleted: dict[int, Ranges] = {}
        self.low_surrogates: dict[int, array[int]] = {}
        self.touched_entries: list[tuple[str, str]] | None = None

    @property
    def empty(self) -> bool:
        """Whether the update brings nothing new at all: it is a duplicate."""
        return not self.ends and not self.deletions

    def touched(self, index: "ContainerIndex") -> list[tuple[str, str]]:
        """Return the top-level entries, as `(root, key)`, that something is inserted into or deleted from.

        Each once. The key is empty for what lies in no entry. `index` is the one that made the plan, before or after
        its commit.
        """
        if self.touched_entries is not None:
            return self.touched_entries
        entries: dict[tuple[str, str], None] = {}
        changes: list[Insert | Deletion] = [*self.inserts, *self.deletions]
        for change in changes:
            container, key = change.container, change.key
            if isinstance(container, str):
                entries[container, key or ""] = None
            elif record := self.types.get(container):
                entries[record.root, record.top_key] = None
            else:
                entry = index.entry_of(container, key)
                assert entry is not None  # what lies in an unknown container was refused
                entries[entry] = None
        self.touched_entries = list(entries)
        return self.touched_entries
