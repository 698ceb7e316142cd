"""Run events: what a run's worker has to know of what others said and the server decided.

Reads the committed transcript. Knows nothing of who waits for it, nor of how it is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from syncd.core.ids import run_key, run_of_call
from syncd.core.messages import Json
from syncd.core.replica import Replica
from syncd.core.run_view import read_on
from syncd.core.schema import Root
from syncd.core.transcript import read_command

DECISIONS: Final = ("approve", "deny", "tool_result")
_REDIRECTS: Final = ("cancel", "handoff")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands by the server's word: its first fact, its last one, and who had its attempts."""

    run: str
    agent: str
    message: str | None
    parent_run: str | None
    lease: str
    attempt: int
    since: int
    last: Mapping[str, Json]
    holders: Mapping[int, str]

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.lease == "ended"

    @property
    def status(self) -> str:
        """What it ended as; before that, `running`, or how else it waits."""
        return str(self.last.get("status", "failed")) if self.ended else _RUNNING.get(self.lease, self.lease)

    def holds(self, attempt: int) -> bool:
        """Whether the current attempt is this one, and its worker has it, and did not detach it."""
        return attempt == self.attempt and self.lease in ("live", "suspended") and "worker" in self.last


_RUNNING: Final = {"live": "running"}


def read_standing(replica: Replica, run: str) -> Standing | None:
    """Return how a run stands, None if the server knows none of that id."""
    facts: list[Mapping[str, Json]] = []
    read_on(replica, run, facts)
    if not facts:
        return None
    first, last = facts[0], facts[-1]
    return Standing(
        run=run,
        agent=str(first.get("agent", "")),
        message=first.get("message") or None,
        parent_run=first.get("parent_run") or None,
        lease=str(last.get("lease", "")),
        attempt=int(last.get("attempt", 0)),
        since=int(last.get("since", 0)),
        last=last,
        holders={int(f["attempt"]): str(f["worker"]) for f in facts if f.get("lease") == "live" and "worker" in f},
    )


@dataclass(slots=True)
class Commands:
    """The accepted commands of a transcript, in order; each is read once, since none ever changes."""

    accepted: list[dict[str, Json]] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def refresh(self, replica: Replica) -> None:
        """Take in those that are new."""
        for key in replica.keys(Root.COMMANDS):
            if key in self._seen:
                continue
            command = read_command(replica, key)
            if command is None or not isinstance(command["receipt"], dict):
                continue
            self._seen.add(key)
            if command["receipt"].get("outcome") == "accepted":
                self.accepted.append(command)
        self.accepted.sort(key=_seq)


def read_events(replica: Replica, commands: Commands, run: str, attempt: int, after: int) -> list[dict[str, Json]]:
    """Return what the worker of an attempt has to know of what has a `seq` above `after`, in order.

    Steers that were consumed by an attempt that counts are not told again. That the lease is lost, or the run over, is
    told each time.
    """
    standing = read_standing(replica, run)
    if standing is None:
        return []
    commands.refresh(replica)
    consumed: set[str] = set()
    for number in range(min(standing.since, attempt), standing.attempt + 1):
        found = replica.read(Root.RUNS, run_key(run, number), "consumed")
        consumed |= set(found) if isinstance(found, dict) else set()
    events = [
        event
        for command in commands.accepted
        if _seq(command) > after and (event := _event(command, standing, consumed)) is not None
    ]
    if (cancel := _cancel(replica, commands.accepted, standing)) is not None and (cancel["seq"] > after or not after):
        events.append(cancel)
    events.sort(key=lambda event: event["seq"])
    if standing.ended:
        over = {name: standing.last[name] for name in ("code", "cancelled_by") if name in standing.last}
        events.append({"type": "ended", "status": standing.status, **over})
    elif not standing.holds(attempt):
        events.append({"type": "lease_lost", "attempt": standing.attempt, "lease": standing.lease})
    return events


def _event(command: Mapping[str, Json], standing: Standing, consumed: set[str]) -> dict[str, Json] | None:
    kind, payload = command.get("kind"), command.get("payload")
    if kind == "steer" and _aims_at(command, {standing.run}, {standing.message}) and command["id"] not in consumed:
        said = payload if isinstance(payload, dict) else {}
        text = said.get("text")
        return {
            **_head(command, "steer"),
            "text": text if isinstance(text, str) else "",
            "interrupt": said.get("interrupt") is True,
        }
    call = command.get("tool_call")
    if kind in DECISIONS and isinstance(call, str) and run_of_call(call) == standing.run:
        return {**_head(command, "decision"), "tool_call": call, "kind": kind, "payload": payload}
    return None


def _cancel(replica: Replica, accepted: Sequence[Mapping[str, Json]], standing: Standing) -> dict[str, Json] | None:
    """Return the command that cancelled a run, or one that it is below of."""
    by = standing.last.get("cancelled_by")
    if not isinstance(by, str):
        return None
    if (cause := standing.last.get("cancel")) is not None:
        return next((_head(command, "cancel") for command in accepted if command["id"] == cause), None)
    # Cancelled before facts said by which command: the first that may have been it.
    runs, messages, above = {standing.run}, {standing.message}, standing.parent_run
    while above is not None and above not in runs and (parent := read_standing(replica, above)) is not None:
        runs.add(above)
        messages.add(parent.message)
        above = parent.parent_run
    for command in accepted:
        if command.get("kind") in _REDIRECTS and command["receipt"]["by"] == by and _aims_at(command, runs, messages):
            payload = command.get("payload")
            if not (isinstance(payload, dict) and payload.get("to") == standing.agent):  # What gave it the message.
                return _head(command, "cancel")
    return {"type": "cancel", "seq": 0, "by": by, "at": standing.last.get("at", 0)}


def _aims_at(command: Mapping[str, Json], runs: set[str], messages: set[str | None]) -> bool:
    run, message = command.get("run"), command.get("message")
    return (isinstance(run, str) and run in runs) or (isinstance(message, str) and message in messages)


def _head(command: Mapping[str, Json], type: str) -> dict[str, Json]:
    receipt = command["receipt"]
    return {"type": type, "seq": receipt["seq"], "command": command["id"], "by": receipt["by"], "at": receipt["at"]}


def _seq(command: Mapping[str, Json]) -> int:
    return int(command["receipt"]["seq"])
