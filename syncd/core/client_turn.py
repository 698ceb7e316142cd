"""What a client machine asks its shell to store, and what it tells: the values of its turns.

Plain data. Knows nothing of how the machine comes to them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syncd.core.errors import CloseCode
from syncd.core.messages import Layer, PresenceEntry

# What to store. The shell commits a `ClientReady`'s writes in one transaction.


@dataclass(frozen=True, slots=True)
class StoreOwn:
    """An own edit: store it marked as not synced. Its row number goes to `advance`."""

    layer: Layer
    update: bytes
    ticket: int


@dataclass(frozen=True, slots=True)
class StoreRemote:
    """An update from the server."""

    layer: Layer
    update: bytes


@dataclass(frozen=True, slots=True)
class StoreSynced:
    """These rows are on the server's disk."""

    rows: Sequence[int]


@dataclass(frozen=True, slots=True)
class StoreProgress:
    """What the server said this copy is a copy of."""

    incarnation: str
    version: int
    seq: int
    roots: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoreRefused:
    """The server refused these own rows for good: move them aside, readable."""

    rows: Sequence[int]
    code: str
    reason: str


Write = StoreOwn | StoreRemote | StoreSynced | StoreProgress | StoreRefused


# What happened.


@dataclass(frozen=True, slots=True)
class Saved:
    """Own edits with these tickets are in the local store."""

    tickets: Sequence[int]


@dataclass(frozen=True, slots=True)
class Synced:
    """Own edits with these tickets are on the server's disk."""

    tickets: Sequence[int]


@dataclass(frozen=True, slots=True)
class Changed:
    """These top-level entries (root, key) of a layer changed; `own` if this copy itself wrote it just now."""

    layer: Layer
    entries: Sequence[tuple[str, str]]
    own: bool


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The session is live; `count` messages and commands came since this copy was last."""

    count: int


@dataclass(frozen=True, slots=True)
class PresenceMoved:
    """These entries changed."""

    entries: Sequence[PresenceEntry]


@dataclass(frozen=True, slots=True)
class Refused:
    """An own edit was refused for good; it is kept among the refused ones."""

    tickets: Sequence[int]
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reload:
    """Make a new machine from the store once this turn is stored: this one still holds what was refused."""

    reason: str


@dataclass(frozen=True, slots=True)
class Shut:
    """The server closed the session on this link, or this side found it out of step."""

    code: CloseCode | int
    reason: str


@dataclass(frozen=True, slots=True)
class StorageMoved:
    """The server's storage became full, or has space again."""

    full: bool


Event = Saved | Synced | Changed | CaughtUp | PresenceMoved | Refused | Reload | Shut | StorageMoved


@dataclass(frozen=True, slots=True)
class LocalRow:
    """One stored update. `own` means: not synced yet."""

    row: int
    layer: Layer
    update: bytes
    own: bool


@dataclass(frozen=True, slots=True)
class ClientReady:
    """What to store before `advance`. May be empty."""

    writes: Sequence[Write]
    events: Sequence[Event]
