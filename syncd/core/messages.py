"""The frames of `syncd.v1` as frozen dataclasses. PROTOCOL.md section 3 is normative.

Holds no bytes of the wire (see `codec`) and no rules (see `client` and `server`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from syncd.core.record import record

#: What JSON can say; what presence, commands and metadata hold.
Json: TypeAlias = Any


class Layer(StrEnum):
    """The two layers that are documents. Presence, the third, is a table."""

    TRANSCRIPT = "transcript"
    STATE = "state"


LAYERS = (Layer.TRANSCRIPT, Layer.STATE)


@dataclass(frozen=True, slots=True)
class Hello:
    """First frame of a link. `token` is empty when the upgrade request carried it."""

    versions: Sequence[int]
    token: str
    device: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Open:
    """Open a session on this link.

    `vectors` are the Yjs state vectors of the local copy. `client_ids` are bound to the subject before anybody else
    sees them. `incarnation` is the one the local copy came from, empty for a new one; `version` is the highest log
    version this copy has been told, 0 for none.
    """

    session: str
    vectors: Mapping[Layer, bytes]
    client_ids: Sequence[int] = ()
    incarnation: str = ""
    version: int = 0
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Declare:
    """Bind more client ids, before their first use."""

    session: str
    client_ids: Sequence[int]


@record
class Push:
    """The peer's `number`-th push on this session since it was opened, counted from 1 without gaps."""

    session: str
    layer: Layer
    number: int
    update: bytes


@dataclass(frozen=True, slots=True)
class SetPresence:
    """Replace this peer's presence; None is an empty one. Only `Leave`, or the end of the link, takes it away."""

    session: str
    state: Json


@dataclass(frozen=True, slots=True)
class Refresh:
    """A fresh token for this link. The subject must stay the same."""

    token: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Close one session on this link; answered by `Closed` with code 1000."""

    session: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Ask for a `Pong`. For clients that cannot send WebSocket pings."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Serve:
    """This link's process is a worker of the agent that its token names.

    `worker` is the id of this process' life. It has at most `slots` live runs at a time, `per_session` of them in one
    session. Sent again when that changes.
    """

    worker: str
    slots: int
    per_session: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Ask for a run that was offered. Whoever gets it is named by the run's next receipt.

    `policy` says what happens if the worker is lost: `wait`, `retry` or `fail`.
    """

    session: str
    run: str
    policy: str
    attempts_max: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Ask for a page of one's sessions, the newest first, and to be told of changes from now on.

    `after` is the `next` of the page before, empty for the first. With `limit` 0 nothing is told any more.
    """

    after: str
    limit: int
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Welcome:
    """Answer to `Hello`. `expires_at` (Unix s) is the token's, 0 for never; `now` is the server's clock."""

    version: int
    peer: str
    subject: str
    server: str
    heartbeat_s: float
    frame_bytes_max: int
    presence_bytes_max: int
    expires_at: float
    now: float


@dataclass(frozen=True, slots=True)
class PresenceEntry:
    """One peer as stamped by the server. `state` None means it left."""

    peer: str
    subject: str
    name: str
    kind: str
    device: str
    state: Json


@dataclass(frozen=True, slots=True)
class Opened:
    """Answer to `Open`.

    `updates` bring the local copy up to `vectors`, the server's committed state. `caught_up` counts the messages and
    commands whose `seq` is above the open's `seen`. `storage_full` means: read on, do not push yet.
    """

    session: str
    incarnation: str
    version: int
    seq: int
    caught_up: int
    rights: Sequence[str]
    updates: Mapping[Layer, bytes]
    vectors: Mapping[Layer, bytes]
    roots: Mapping[str, str]
    presence: Sequence[PresenceEntry]
    storage_full: bool = False


@record
class Ack:
    """Every push up to `number` is on the server's disk, or was answered by `Reject` before."""

    session: str
    number: int


@dataclass(frozen=True, slots=True)
class Reject:
    """Push `number` was refused for good; the link stays open."""

    session: str
    number: int
    code: str
    reason: str


@record
class Update:
    """Committed updates of one layer, merged per batch. May hold what the reader has: applying it twice is harmless."""

    session: str
    layer: Layer
    update: bytes


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """Entries that changed since the last such frame."""

    session: str
    entries: Sequence[PresenceEntry]


@dataclass(frozen=True, slots=True)
class Closed:
    """This session is closed on this link. `code` is a close code, the link stays open."""

    session: str
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The token was taken; the link now lives until `expires_at` (Unix s, 0 for never)."""

    expires_at: float


@dataclass(frozen=True, slots=True)
class Storage:
    """The server's storage became full (pushes wait, reading goes on), or has space again."""

    full: bool


@dataclass(frozen=True, slots=True)
class Bye:
    """Sent before the link is closed. `retry_after_s` spreads the return of many clients."""

    code: int
    reason: str
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer to `Ping`, same nonce."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Work:
    """A run waits for a worker: open the session and claim it. `message` is empty for one that has none."""

    session: str
    run: str
    message: str
    attempt: int


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One session in somebody's list. `at_ms` is of the last thing that happened in it, Unix ms.

    `unread` counts messages of others that are not read, up to 999. `needs` says why it waits for this person:
    `approval`, `handover`. `running` maps agents to how their runs stand, `here` those who are not offline to their
    status.
    """

    session: str
    title: str
    tags: Sequence[str]
    archived: bool
    at_ms: int
    seq: int
    excerpt: str
    unread: int
    needs: Sequence[str]
    running: Mapping[str, str]
    here: Mapping[str, str]
    responsible: str


@dataclass(frozen=True, slots=True)
class Index:
    """Answer to `Watch`: a page. `next` is what to ask for the next one with; `whole`: there is nothing behind it."""

    rows: Sequence[IndexRow]
    next: str
    whole: bool


@dataclass(frozen=True, slots=True)
class IndexChanged:
    """Rows that are another now, in place of those before; and sessions that are not there any more."""

    rows: Sequence[IndexRow]
    gone: Sequence[str]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame of the optional range (type 128 and above) that this version does not know: ignored and counted."""

    type: int
    body: Sequence[Any] = field(default=())


ClientMessage: TypeAlias = (
    Hello | Open | Declare | Push | SetPresence | Refresh | Leave | Ping | Serve | Claim | Watch | Unknown
)
ServerMessage: TypeAlias = (
    Welcome
    | Opened
    | Ack
    | Reject
    | Update
    | PresenceChanged
    | Closed
    | Refreshed
    | Storage
    | Bye
    | Pong
    | Work
    | Index
    | IndexChanged
    | Unknown
)
