"""What a server machine gathers and gives out: the values of its turns.

Plain data. Knows nothing of how the machine comes to them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from syncd.core.entries import Entry
from syncd.core.errors import CloseCode
from syncd.core.events import Event
from syncd.core.facts import Fact
from syncd.core.grant import Grant, Right
from syncd.core.messages import Layer, Open, PresenceEntry, Reject, ServerMessage
from syncd.core.record import record
from syncd.core.update import Kind
from syncd.core.work import WorkRow


@record
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

    `worker`: who holds the runs it began, empty for nobody. `refused`: a push of its was refused since it opened.
    `behind`: state vectors it was last sent up to, while it is behind; `missed`: who left since.
    """

    id: str
    grant: Grant
    rights: frozenset[Right]
    device: str
    reader: bool
    worker: str = ""
    next_number: int = 1
    opened: bool = False
    refused: bool = False
    behind: dict[Layer, dict[int, int]] | None = None
    missed: dict[str, PresenceEntry] = field(default_factory=dict)


class Accepted:
    """One layer's updates of a batch, and the clocks that they reach.

    `alone` is the one peer that sent them, empty if they are several peers'.
    """

    __slots__ = ("alone", "ends", "updates")

    def __init__(self) -> None:
        self.updates: list[bytes] = []
        self.ends: dict[int, int] = {}
        self.alone = ""

    def add(self, peer: str, update: bytes, ends: Mapping[int, int]) -> None:
        """Add an update of `peer`."""
        if not self.updates:
            self.alone = peer
        elif peer != self.alone:
            self.alone = ""
        self.updates.append(update)
        self.ends.update(ends)


class Batch:
    """What gathered since the last turn. `touched` are the transcript's entries that changed.

    A plain class: one is made for each turn of each session.
    """

    __slots__ = (
        "accepted",
        "bindings",
        "called",
        "drops",
        "facts",
        "opening",
        "pushed",
        "rejects",
        "rewritten",
        "roots",
        "size",
        "touched",
    )

    def __init__(self) -> None:
        # Bytes of the updates, receipts included.
        self.size = 0
        # Whether the state says anew what the session is called.
        self.called = False
        self.accepted: dict[Layer, Accepted] = {}
        self.bindings: list[tuple[str, list[int]]] = []
        # What the server decides on, in the order it came.
        self.facts: list[Fact] = []
        self.roots: dict[str, Kind] = {}
        self.touched: dict[tuple[str, str], None] = {}
        # Messages of which something was taken away.
        self.rewritten: dict[str, None] = {}
        self.opening: list[tuple[Peer, Open]] = []
        # A peer's id may be attached again before the answers to its life before are due: those are nobody's.
        self.pushed: dict[str, tuple[Peer, int]] = {}
        self.rejects: list[tuple[Peer, Reject]] = []
        self.drops: list[Drop] = []

    def __bool__(self) -> bool:
        # What is accepted or rejected was pushed; a claim was not.
        return bool(self.pushed or self.opening or self.bindings or self.drops or self.facts)

    def of(self, layer: Layer) -> Accepted:
        """What was accepted of one layer, to add to."""
        accepted = self.accepted.get(layer)
        if accepted is None:
            accepted = self.accepted[layer] = Accepted()
        return accepted


@record
class Ready:
    """What must be on disk before `advance` may be called. With no entries there is nothing to commit.

    `expected` is the version of the last entry before them. `work` are the runs that they move, `events` what they tell
    of.
    """

    expected: int
    entries: Sequence[Entry]
    batch: Batch
    receipts: bytes
    merged: Mapping[Layer, Sequence[bytes]]
    work: Sequence[WorkRow] = ()
    events: Sequence[Event] = ()

    @property
    def rewritten(self) -> Collection[str]:
        """Messages of which something was taken away, be it all."""
        return self.batch.rewritten

    @property
    def called(self) -> bool:
        """Whether the state says anew what the session is called."""
        return self.batch.called

    @property
    def pushes(self) -> int:
        """How many updates of peers it holds."""
        return sum(len(accepted.updates) for accepted in self.batch.accepted.values())
