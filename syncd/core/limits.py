"""Limits: every bound in syncd, one frozen object.

Each field carries its unit in its name and its reason in the comment above it. Each is documented in PROTOCOL.md
section 8 and has a test; a meta-test checks both. Knows nothing of who enforces a bound.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one server, or of one client."""

    # One frame from a client. Bigger content is an attachment; longer backlogs are cut at update boundaries.
    frame_bytes_max: int = 1 << 20
    # Before a link is authenticated it may send its hello and nothing else.
    hello_bytes_max: int = 64 << 10
    # A link that has not said hello by then is closed. Not extended by traffic, so dripping bytes gains nothing.
    hello_timeout_s: float = 5.0
    # Request line and headers must be complete by then: aiohttp itself never times out a dripped header.
    header_timeout_s: float = 10.0
    # Pings at this pace; a side that heard nothing for one and a half of them takes the link for dead.
    heartbeat_s: float = 20.0
    # One REST request's body, imports aside: the longest message, each character written as an escape.
    body_bytes_max: int = 2 << 20
    # A request's body must be complete by then: dripped bodies are no better than dripped headers.
    body_timeout_s: float = 120.0
    # One import. An export of a full session fits.
    import_bytes_max: int = 128 << 20

    # What one update may hold. yrs takes time in the square of the structs it can join: 0.1 s for these.
    update_structs_max: int = 5_000
    update_clients_max: int = 1_000
    # Entries of a state vector sent with an open: one per life that ever wrote.
    state_vector_clients_max: int = 100_000
    # Nested values. pycrdt's decoder overflows its stack at 26,000 levels, every Yjs client below 10,000.
    value_depth_max: int = 32
    # Nested shared types. Readers recurse; the transcript's schema needs five.
    transcript_depth_max: int = 8
    state_depth_max: int = 64
    # Root types of the state layer: each is kept for ever.
    state_roots_max: int = 256
    # Names of roots and keys of maps: a key is kept in every index.
    key_bytes_max: int = 256

    # A session's updates on disk. Beyond it the session can be read and exported, not written.
    session_bytes_max: int = 64 << 20
    # Client ids bound in one session. Each costs about 26 bytes of document for ever.
    client_ids_max: int = 50_000
    # Client ids one open or declare may name.
    client_ids_per_frame_max: int = 256

    # Presence: one entry a peer, small, and not faster than a person can see.
    presence_bytes_max: int = 4 << 10
    presence_per_s: float = 10.0
    # Who comes and goes is told to all at most this often: else a crowd of n that returns at once is n * n frames.
    presence_gather_s: float = 0.05

    # Who is gone, or looks elsewhere, for less than this is told to nobody: a page that reloads is back sooner.
    presence_grace_s: float = 10.0

    # Lists of sessions. What changed is told at this pace at most, to all who watch at once.
    index_gather_s: float = 0.1
    # Who is there is told more slowly: a crowd of n that returns to one session is seen by n lists.
    index_here_s: float = 1.0
    # Of those who are there a row names so many, the most present first.
    index_here_max: int = 16

    # Agents that one message wakes; a message that names more wakes the first.
    runs_per_message_max: int = 16

    # One link.
    sessions_per_link_max: int = 64
    # Reading pauses beyond these rates, so that a flood costs its sender and nobody else.
    frames_per_s: float = 500.0
    frames_burst: int = 1_000
    bytes_per_s: float = 4 << 20
    bytes_burst: int = 8 << 20
    # What may wait unsent for one reader. Beyond it the reader is marked behind and gets one diff later.
    outbox_bytes_max: int = 256 << 10
    # A reader that is still behind after this long is closed, so that its socket's memory returns.
    behind_timeout_s: float = 60.0

    # Per subject and per address, so that one of them cannot use up the server.
    links_per_subject_max: int = 100
    links_per_address_max: int = 1_000
    links_max: int = 20_000
    auth_failures_per_minute: int = 10
    requests_per_s: float = 50.0
    requests_burst: int = 100

    # Devices of one person that take pushes: the one used least lately makes room for another.
    push_devices_max: int = 10

    # A request that waits for something is answered by then: longer is no gain, and proxies cut it.
    poll_s_max: float = 60.0
    # Runs that one worker may hold: a bound for what a server counts on, not for what a machine can do.
    slots_max: int = 1_000
    # An offered run that its worker has not claimed by then is offered to another one.
    offer_timeout_s: float = 10.0
    # A worker that is gone for this long has lost its runs: longer than any usual reconnection takes.
    lease_grace_s: float = 15.0

    # A session nobody is on is unloaded after this long.
    idle_evict_s: float = 30.0
    # A log is folded into a snapshot when it has grown to this many entries, or to this many bytes and as much as the
    # snapshot again.
    compact_entries: int = 2_000
    compact_bytes: int = 1 << 20
    # After a commit the next one waits this long, so that a batch gathers: halves the CPU at light load.
    commit_pause_s: float = 0.003

    # What one page of a list, of history or of search results may hold.
    page_max: int = 500
    # What one message posted over REST may hold.
    message_chars_max: int = 200_000

    # Notices that wait for one target. Beyond it its oldest are given up, so that a dead target fills no disk.
    hooks_deliveries_max: int = 10_000
    # Notices in the making that wait to be looked at again, in memory too. Beyond it they are told at once.
    hooks_waits_max: int = 20_000
    # Notices that were delivered or given up, and dead letters, each: what the log of hooks shows, and can be replayed.
    hooks_log_max: int = 10_000
    # One webhook's body: the specification's advice.
    hook_body_bytes_max: int = 20_000


DEFAULT_LIMITS = Limits()
