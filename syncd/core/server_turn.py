"""What a server machine gathers and gives out: the values of its turns.

Plain data. Knows nothing of how the machine comes to them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from syncd.core.entries import Entry
from syncd.core.errors import CloseCode
from syncd.core.grant import Grant, Right
from syncd.core.messages import LAYERS, Layer, Open, PresenceEntry, Reject, ServerMessage
from syncd.core.update import Kind


@dataclass(frozen=True, slots=True)
class Send:
    """One message for several peers: encode it once."""

    peers: Sequence[str]
    message: ServerMessage


@dataclass(frozen=True, slots=True)
class Drop:
    """Close `peer`: this session on its link, or the whole link if it sent what no correct client sends."""

    peer: str
    code: CloseCode
    reason: str
    whole_link: bool = False


@dataclass(slots=True)
class Peer:
    """What a machine knows of one attached peer. `reader` is False for one that writes from inside the server.

    `refused`: a push of its was refused since it opened. `behind`: state vectors it was last sent up to, while it is
    behind; `missed`: who left since.
    """

    id: str
    grant: Grant
    rights: frozenset[Right]
    device: str
    reader: bool
    next_number: int = 1
    opened: bool = False
    refused: bool = False
    behind: dict[Layer, dict[int, int]] | None = None
    missed: dict[str, PresenceEntry] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """What gathered since the last turn. `ends`: the clocks that its updates reach; `touched`: changed entries."""

    updates: dict[Layer, list[tuple[str, bytes]]] = field(default_factory=lambda: {layer: [] for layer in LAYERS})
    ends: dict[Layer, dict[int, int]] = field(default_factory=lambda: {layer: {} for layer in LAYERS})
    bindings: list[tuple[str, list[int]]] = field(default_factory=list)
    # Messages and commands that need a receipt: key to subject.
    facts: dict[str, str] = field(default_factory=dict)
    roots: dict[str, Kind] = field(default_factory=dict)
    touched: list[tuple[str, str]] = field(default_factory=list)
    opening: list[tuple[Peer, Open]] = field(default_factory=list)
    # A peer's id may be attached again before the answers to its life before are due: those are nobody's.
    pushed: dict[str, tuple[Peer, int]] = field(default_factory=dict)
    rejects: list[tuple[Peer, Reject]] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.updates[Layer.TRANSCRIPT]
            or self.updates[Layer.STATE]
            or self.bindings
            or self.opening
            or self.pushed
            or self.rejects
            or self.drops
        )


@dataclass(frozen=True, slots=True)
class Ready:
    """What must be on disk before `advance` may be called. With no entries there is nothing to commit.

    `expected` is the version of the last entry before them.
    """

    expected: int
    entries: Sequence[Entry]
    batch: Batch
    receipts: bytes
    merged: Mapping[Layer, bytes]

    @property
    def pushes(self) -> int:
        """How many updates of peers it holds."""
        return sum(len(updates) for updates in self.batch.updates.values())
