"""What a session itself says of how it is listed: for one that was made before there were lists, or was imported.

Reads the whole transcript, once. Knows nothing of links, and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syncd.core.facts import whole
from syncd.core.ids import is_person
from syncd.core.listing import EXCERPT_CHARS_MAX, STATE_ROOT, Summary, called, opening_of, shorten
from syncd.core.messages import Layer
from syncd.core.replica import Replica
from syncd.core.run_view import RunViews, is_call_in
from syncd.core.server import ServerMachine
from syncd.core.tool_calls import ASKED
from syncd.core.transcript import MessageView, read_command, read_reads
from syncd.store.listing import Listing


async def renew(listing: Listing, session: str, machine: ServerMachine, now_ms: int) -> None:
    """Put what a session says of itself in the place of what is listed of it.

    Raises:
        ReplicaBroken: throw the machine away.
        StoreError: nothing was changed.
    """
    messages = [view for view in machine.messages() if view.seq is not None and view.role != "system"]
    summary = _summary(machine, messages)
    numbered = [(view.seq or 0, view.by or "") for view in messages]
    reads = _reads(machine.document(Layer.TRANSCRIPT).replica, messages, summary)
    await listing.renew(session, summary, numbered, reads, now_ms)


def _summary(machine: ServerMachine, messages: Sequence[MessageView]) -> Summary:
    replica, runs = machine.document(Layer.TRANSCRIPT).replica, RunViews()
    summary = Summary(seq=machine.committed_seq)
    if STATE_ROOT in machine.content.roots:
        summary.title, summary.tags = called(machine.document(Layer.STATE).replica.read(STATE_ROOT))
    if messages:
        last = messages[-1]
        summary.message, summary.by = last.id, last.by or ""
        summary.excerpt = shorten(last.text, EXCERPT_CHARS_MAX)
    written = (view.text for view in messages if view.role == "user" and view.by is not None and is_person(view.by))
    summary.opening = next(filter(None, map(opening_of, written)), "")
    summary.runs = {run.id: (run.agent, run.lease) for run in runs.runs(replica) if run.lease not in ("", "ended")}
    for view in messages:
        run = runs.output_of(replica, view)
        if run is not None and run.id in summary.runs:
            for part in view.parts:
                call = part.get("tool_call")
                asked = part.get("state") == ASKED and is_call_in(part, run.id)
                if asked and runs.decision(replica, str(call)) is None:
                    summary.waiting[str(call)] = run.id
    handed = runs.responsible(replica)
    if handed is not None:
        command = read_command(replica, str(handed.get("command")))
        summary.responsible, summary.handed_by = str(handed["to"]), str(handed.get("by", ""))
        summary.handed_seq = whole((command or {}).get("receipt", {}).get("seq"))
    return summary


def _reads(replica: Replica, messages: Sequence[MessageView], summary: Summary) -> Mapping[str, int]:
    """Return the persons that take part, and up to where each has read."""
    found: dict[str, int] = {}
    for view in messages:
        seq = view.seq or 0
        for subject in view.to:
            if is_person(subject):
                found.setdefault(subject, seq - 1)
        if view.by is not None and is_person(view.by):
            found.setdefault(view.by, seq)
    if is_person(summary.responsible):
        found.setdefault(summary.responsible, max(0, summary.handed_seq - 1))
    for subject, read in read_reads(replica).items():
        if is_person(subject):
            found[subject] = max(found.get(subject, 0), whole(read))
    return found
