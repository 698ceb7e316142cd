"""What a local store takes and gives: stored updates, sessions' places, and writes to both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from syncd.core.messages import Layer

#: Given one layer and its updates in order, return one update that holds them all, or None to leave them.
Fold: TypeAlias = Callable[[Layer, list[bytes]], bytes | None]


@dataclass(frozen=True, slots=True)
class LocalUpdate:
    """One stored update. `own`: written here and not acked yet. `life`: the peer's life that wrote it, if own."""

    row: int
    layer: Layer
    update: bytes
    own: bool
    life: str
    subject: str


@dataclass(frozen=True, slots=True)
class LocalSession:
    """One session's place. `unsynced` counts own updates that no server acked; times are Unix milliseconds."""

    session: str
    incarnation: str
    version: int
    seq: int
    roots: dict[str, str]
    unsynced: int
    opened_at_ms: int


@dataclass(frozen=True, slots=True)
class RefusedUpdate:
    """An own update that the server refused: kept until the app has dealt with it."""

    row: int
    layer: Layer
    update: bytes
    code: str
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class AppendUpdate:
    """Store one update; `write` returns its row."""

    session: str
    layer: Layer
    update: bytes
    own: bool
    life: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class MarkSynced:
    """The server acked these rows: they are no longer `own`."""

    session: str
    rows: Sequence[int]


@dataclass(frozen=True, slots=True)
class SetSession:
    """Set a session's place. `opened_at_ms` None leaves it: when this copy was made, or last set."""

    session: str
    incarnation: str
    version: int
    seq: int
    roots: dict[str, str]
    opened_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class IndexText:
    """Index one message's text in place of what was indexed; an empty text takes it out."""

    session: str
    message: str
    author: str
    text: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class RefuseUpdates:
    """Move rows to the refused ones: `load` and `poll` give them no more, `refused` does."""

    session: str
    rows: Sequence[int]
    code: str
    reason: str
    at_ms: int


Write: TypeAlias = AppendUpdate | MarkSynced | SetSession | IndexText | RefuseUpdates
