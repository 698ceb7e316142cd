"""The grammar of ids, and how new ones are made from time and entropy that the caller brings.

Knows nothing of clocks or random sources.
"""

import re
from hashlib import blake2b

#: PROTOCOL 3: ids of sessions, and of messages, runs, commands and devices alike. Never a path, never escaped.
ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")

#: Who a token names: `user:mona`, `agent:planner`, `server:`. The kind, a colon, a name without control characters and
#: without halves of surrogate pairs, which JSON can say and UTF-8 cannot.
SUBJECT_PATTERN = re.compile(r"[a-z]{1,16}:[^\x00-\x1f\x7f\ud800-\udfff]{0,110}\Z")

#: Ids of runs that follow from a message and an agent, and how those begin that follow from an agent's own key.
_WORK_PATTERN = re.compile(r"[0-9a-f]{32}\Z")
_OWN = "own-"


def is_id(value: object) -> bool:
    """Whether `value` is a well-formed id: one to 64 characters of `[A-Za-z0-9_-]`."""
    return isinstance(value, str) and ID_PATTERN.match(value) is not None


def is_subject(value: object) -> bool:
    """Whether `value` is a well-formed subject such as `user:mona`."""
    return isinstance(value, str) and SUBJECT_PATTERN.match(value) is not None


def is_person(subject: str) -> bool:
    """Whether a subject is a person, guests included: of the kind `user`, and no agent, program or server."""
    return subject.startswith("user:")


def run_id(message: str, agent: str, number: int = 1) -> str:
    """Return the id of the run in which `agent` answers `message`: known to everybody before there is one.

    `number`, from 1, counts how often it was given to that agent, each time when the run before was over.
    """
    named = f"{message}\n{agent}" if number == 1 else f"{message}\n{agent}\n{number}"
    return blake2b(named.encode(), digest_size=16).hexdigest()


def own_run_id(key: str, agent: str) -> str:
    """Return the id of the run that `agent` begins by itself under a `key` of its own: the same each time."""
    return f"{_own_prefix(agent)}{run_id(key, agent)}"


def may_begin(run: str, agent: str) -> bool:
    """Whether `agent` may begin a run of this id by itself.

    Not if the run of some message could have it, or one of another agent's under a key: whoever took such an id first
    would keep that run from ever being there.
    """
    return _WORK_PATTERN.match(run) is None and (not run.startswith(_OWN) or run.startswith(_own_prefix(agent)))


def _own_prefix(agent: str) -> str:
    return f"{_OWN}{blake2b(agent.encode(), digest_size=4).hexdigest()}-"


def run_key(run: str, attempt: int) -> str:
    """Return the key under `runs` of one attempt, from 1, of a run: each has an entry of its own."""
    return f"{run}_{attempt}"


def split_run_key(key: str) -> tuple[str, int]:
    """Return run and attempt of a key under `runs`; attempt 0 for one that is of no attempt."""
    run, _, attempt = key.rpartition("_")
    return (run, int(attempt)) if attempt.isascii() and attempt.isdigit() and len(attempt) < 10 else (key, 0)


def run_of_call(tool_call: str) -> str:
    """Return the run that a tool call belongs to."""
    return tool_call.rpartition("-")[0]


def uuid7(now_ms: int, entropy: bytes) -> str:
    """Return a UUIDv7 (RFC 9562) of `now_ms` milliseconds and ten bytes of `entropy`."""
    rand = int.from_bytes(entropy[:10], "big")
    value = (now_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | (rand >> 62 & 0xFFF) << 64 | 0b10 << 62 | rand & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_client_id(entropy: bytes) -> int:
    """Return a CRDT client id: 53 bits of `entropy` (seven bytes), never below 2^32.

    Random over the whole range that a JavaScript number holds exactly, since two lives under one id diverge for ever.
    """
    return (1 << 52) | int.from_bytes(entropy[:7], "big") & (1 << 52) - 1
