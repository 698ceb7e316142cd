"""Every error syncd raises, and the stable codes that travel on the wire.

- `SyncdError`
    - `LocalProtocolError`: you misused this API; mend the call.
    - `RemoteProtocolError`: the other side broke the protocol; its link is closed with `code`.
    - `Rejected`: one push, open or request was refused with `code`; the link stays.
    - `StoreError`: the store cannot do what was asked.
        - `StorageFull`: no space; retry later, nothing was half done.
        - `StoreLocked`: another process holds the store.
        - `StoreDamaged`: a row or page does not read back as written.
        - `StoreTooNew`: written by a newer version.
        - `StoreFatal`: the disk failed to flush; stop, never retry.

Knows nothing of sockets or databases. The core returns or raises these; shells log them, once.
"""

from enum import IntEnum, StrEnum


class CloseCode(IntEnum):
    """Why a link, or one session on it, was closed. PROTOCOL.md section 6.

    4000-4399: come back, with back-off. 4400-4499: do not come back before something changed. 4408 is never used,
    since stock y-websocket clients take it as final for a plain time-out.
    """

    NORMAL = 1000
    TOO_BIG = 1009
    TRY_LATER = 1013
    SHUTDOWN = 4000
    TOKEN_EXPIRED = 4001
    RESYNC = 4002
    BEHIND = 4003
    RATE = 4004
    STORAGE_FULL = 4005
    HANDSHAKE_TIMEOUT = 4006
    SERVER_ERROR = 4007
    BAD_MESSAGE = 4400
    BAD_TOKEN = 4401
    FORBIDDEN = 4403
    DELETED = 4410
    REVOKED = 4411
    DAMAGED = 4412
    REPLACED = 4413
    BAD_UPDATE = 4422
    UNSUPPORTED = 4426

    @property
    def retryable(self) -> bool:
        """Whether a client may come back by itself."""
        return not 4400 <= self < 4500


class RejectCode(StrEnum):
    """What was wrong with an update. Stable; PROTOCOL.md section 7."""

    # The bytes. No correct client sends these: the link is closed with BAD_UPDATE.
    MALFORMED = "malformed"
    TOO_DEEP = "too_deep"
    TOO_MANY_STRUCTS = "too_many_structs"
    TOO_MANY_CLIENTS = "too_many_clients"
    CLOCK_RANGE = "clock_range"
    UNSUPPORTED_CONTENT = "unsupported_content"
    # The shape rule: what the update means in this document.
    GAP = "gap"
    UNKNOWN_REFERENCE = "unknown_reference"
    WRONG_CONTENT = "wrong_content"
    WRONG_ROOT = "wrong_root"
    OVERLAP = "overlap"
    SPLIT_SURROGATE = "split_surrogate"
    RIGHT_ORIGIN = "right_origin"
    # The author rule: who may write it.
    FOREIGN_CLIENT_ID = "foreign_client_id"
    FOREIGN_REFERENCE = "foreign_reference"
    FOREIGN_ENTRY = "foreign_entry"
    IMMUTABLE = "immutable"
    SERVER_ONLY = "server_only"
    # Grants and limits.
    FORBIDDEN = "forbidden"
    TOO_LARGE = "too_large"
    SESSION_FULL = "session_full"
    DEPENDS_ON_REFUSED = "depends_on_refused"


#: Codes of bytes that no correct client sends: the sender's link is closed, not just the push refused.
HOSTILE_CODES = frozenset(
    {
        RejectCode.MALFORMED,
        RejectCode.TOO_DEEP,
        RejectCode.TOO_MANY_STRUCTS,
        RejectCode.TOO_MANY_CLIENTS,
        RejectCode.CLOCK_RANGE,
        RejectCode.UNSUPPORTED_CONTENT,
    }
)


class SyncdError(Exception):
    """Base of every error raised by syncd."""


class LocalProtocolError(SyncdError):
    """You misused this API. The message says which rule, and what to call instead."""


class RemoteProtocolError(SyncdError):
    """The other side broke the protocol; close its link with `code`."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(f"{code.name.lower()} ({code.value}): {reason}")
        self.code = code
        self.reason = reason


class Rejected(SyncdError):
    """One update or request was refused. `code` is stable, `reason` is for people."""

    def __init__(self, code: RejectCode, reason: str) -> None:
        super().__init__(f"{code.value}: {reason}")
        self.code = code
        self.reason = reason


class StoreError(SyncdError):
    """The store cannot do what was asked; the message says what to do about it."""


class StorageFull(StoreError):
    """No space, or the file stayed locked too long. Nothing was half done; try again later."""


class StoreLocked(StoreError):
    """Another process holds this store."""


class StoreDamaged(StoreError):
    """What was read is not what was written."""


class StoreTooNew(StoreError):
    """The store was written by a newer version of syncd."""


class StoreFatal(StoreError):
    """The disk failed to flush. What is on it is unknown: stop, do not retry the flush."""
