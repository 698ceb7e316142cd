"""Happened: one event as rules see it, and what has to be known of its session to judge it.

Holds what earlier events said, as far as later ones need it. Knows nothing of rules or of who is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from syncd.core.codec import pack, unpack
from syncd.core.ids import is_person, run_of_call
from syncd.core.listing import JOINS_MAX
from syncd.core.messages import Json
from syncd.core.record import record


@record
class Happened:
    """One event. `seq` is the session's last place by then: who read so far has seen it.

    `run` is the run it is about and `message` the message, empty for none.
    """

    id: str
    type: str
    at_ms: int
    session: str
    incarnation: str
    by: str
    data: Mapping[str, Json]
    seq: int
    run: str
    message: str

    def public(self, *, content: bool = True) -> dict[str, Json]:
        """Return it as it is told. Without `content`, what people wrote is left out."""
        data = dict(self.data) if content else {k: v for k, v in self.data.items() if k not in ("text", "note")}
        at = datetime.fromtimestamp(self.at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"id": self.id, "type": self.type, "at": at, "session": self.session, "by": self.by, "data": data}

    def packed(self) -> list[Json]:
        """Return it as it is kept."""
        return [
            self.id, self.type, self.at_ms, self.session, self.incarnation, self.by, dict(self.data), self.seq,
            self.run, self.message,
        ]  # fmt: skip

    @classmethod
    def of(cls, packed: list[Any]) -> Happened:
        """Return what `packed` gave."""
        return cls(*packed[:10])


@dataclass(slots=True)
class OpenRun:
    """A run that is not over: whose it is, who asked for it, and its tool calls that somebody is asked about."""

    agent: str = ""
    asker: str = ""
    message: str = ""
    calls: list[str] = field(default_factory=list)


class SessionFacts:
    """What is known of one session from its events so far.

    1. It is what `load` was given and the events since; `learn` says what has to be kept of each.
    2. Runs that are over are forgotten.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.responsible = ""
        self.runs: dict[str, OpenRun] = {}
        #: How far each person who takes part has read: who wrote, read, was addressed or made responsible. Writing
        #: counts as having read what was there.
        self.reads: dict[str, int] = {}

    def load(self, kept: Mapping[str, bytes]) -> None:
        """Take what was kept."""
        for key, data in kept.items():
            value = unpack(data)
            if key == "q":
                self.seq = value
            elif key == "a":
                self.responsible = value
            elif key.startswith("s:"):
                self.reads[key[2:]] = value
            elif key.startswith("r:"):
                self.runs[key[2:]] = OpenRun(*value[:4])

    def run_of(self, data: Mapping[str, Json]) -> str:
        """Return the run that an event's data names, empty for none."""
        run, call = data.get("run"), data.get("tool_call")
        return run if isinstance(run, str) else run_of_call(call) if isinstance(call, str) else ""

    def message_of(self, data: Mapping[str, Json]) -> str:
        """Return the message that an event's data is about, empty for none."""
        message, known = data.get("message"), self.runs.get(self.run_of(data))
        return message if isinstance(message, str) else known.message if known is not None else ""

    def asker(self, run: str) -> str:
        """Return who asked for a run, empty if nobody did or it is not known."""
        known = self.runs.get(run)
        return known.asker if known is not None else ""

    def learn(self, type: str, by: str, data: Mapping[str, Json]) -> Iterator[tuple[str, bytes]]:
        """Take an event that was not taken before; yield what is to be kept under which key, empty to forget it.

        Of a run that ended, `forget` comes when the event was judged.
        """
        seq = data.get("seq")
        if type in ("message.created", "command.decided") and isinstance(seq, int) and seq > self.seq:
            self.seq = seq
            yield "q", pack(seq)
        if type == "message.created":
            yield from self._read(by, self.seq)
            to = data.get("to")
            for addressed in to[:JOINS_MAX] if isinstance(to, list) else ():
                self._joins(str(addressed))
        elif type == "read.moved" and isinstance(seq, int):
            yield from self._read(str(data["subject"]), seq)
        elif type == "session.assigned":
            self.responsible = str(data["to"])
            self._joins(self.responsible)
            yield "a", pack(self.responsible)
        elif type == "approval.requested":
            yield from self._asked(str(data["run"]), str(data["tool_call"]))
        elif type in ("run.queued", "run.started") and str(data["run"]) not in self.runs:
            asker = by if by != data["agent"] else ""
            self.runs[str(data["run"])] = OpenRun(str(data["agent"]), asker, str(data.get("message") or ""))
            yield self._kept(str(data["run"]))

    def forget(self, run: str) -> Iterator[tuple[str, bytes]]:
        """Forget a run that is over, and yield what is to be forgotten."""
        if self.runs.pop(run, None) is not None:  # Invariant 2.
            yield f"r:{run}", b""

    def _joins(self, subject: str) -> None:
        """Whoever is brought in takes part. That the store keeps by itself."""
        if is_person(subject):
            self.reads.setdefault(subject, 0)

    def _read(self, subject: str, seq: int) -> Iterator[tuple[str, bytes]]:
        if is_person(subject) and (subject not in self.reads or seq > self.reads[subject]):
            self.reads[subject] = seq
            yield f"s:{subject}", pack(seq)

    def _asked(self, run: str, call: str) -> Iterator[tuple[str, bytes]]:
        known = self.runs.get(run)
        if known is not None and call not in known.calls:
            known.calls.append(call)
            yield self._kept(run)

    def _kept(self, run: str) -> tuple[str, bytes]:
        known = self.runs[run]
        return f"r:{run}", pack([known.agent, known.asker, known.message, known.calls])
