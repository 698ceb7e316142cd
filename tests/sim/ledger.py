"""Ledger: what was promised to whom in a simulated world, and the checks that hold at every moment.

Reads bytes by itself and asks no machine. Knows nothing of who acts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from syncd.core.grant import Grant
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import LAYERS, Json, Layer, Opened, ServerMessage, Update
from syncd.core.schema import Root
from syncd.core.update import decode_update
from tests.sim.disk import LogDisk, Vectors, add_ends, ends_of

_PREFIXES: Mapping[str, str] = {Root.MESSAGES: "m:", Root.COMMANDS: "c:"}


class Broken(AssertionError):
    """A promise was broken. The message says which."""


@dataclass(slots=True)
class Written:
    """A message or command that somebody honest wrote: all of its text so far, and its place among its device's."""

    device: str
    subject: str
    order: int
    text: str = ""


class Ledger:
    """What was acked, shown and receipted. The disk must hold all of it at any time."""

    def __init__(self) -> None:
        #: Tool calls that wait for a decision, or did: any device may try.
        self.asked: list[str] = []
        self.counts: Counter[str] = Counter()
        #: Honest messages and commands by receipt key (`m:ID`, `c:ID`).
        self.written: dict[str, Written] = {}
        #: Of these, what its author deleted, or wanted to.
        self.deleted: set[str] = set()
        #: Receipts as they were ever seen.
        self.receipts: dict[str, Json] = {}
        #: Messages and commands in a push that was refused: they may come behind later ones.
        self.sent_back: set[str] = set()
        #: Items that the hostile peer wrote too, to where: client id and end.
        self.copies: dict[str, set[tuple[int, int]]] = {}
        self._promised: Vectors = {layer: {} for layer in LAYERS}
        self._disk: LogDisk | None = None

    def watch(self, disk: LogDisk) -> None:
        self._disk = disk

    def count(self, what: str, by: int = 1) -> None:
        self.counts[what] += by

    # What the disk must hold

    def promise(self, layer: Layer, ends: Mapping[int, int], what: str) -> None:
        """Note clocks that somebody was told of: from now on they must be on the disk."""
        assert self._disk is not None
        held = self._disk.vectors[layer]
        for client, end in ends.items():
            if held.get(client, 0) < end:
                raise Broken(f"{what} what is not on the server's disk: {layer} {client} up to {end}")
        add_ends(self._promised[layer], dict(ends))

    def disk_changed(self) -> None:
        """The log changed: it still holds all that was promised."""
        assert self._disk is not None
        for layer, promised in self._promised.items():
            held = self._disk.vectors[layer]
            for client, end in promised.items():
                if held.get(client, 0) < end:
                    raise Broken(f"acked or shown, and gone from the server's disk: {layer} {client} up to {end}")

    def sent(self, message: ServerMessage) -> None:
        """The machine has a message sent: what it shows is on the disk."""
        if isinstance(message, Update):
            self.promise(message.layer, ends_of(message.update), "shown")
        elif isinstance(message, Opened):
            for layer, update in message.updates.items():
                self.promise(layer, ends_of(update), "shown")

    def wrote(self, grant: Grant, revoked: set[str]) -> None:
        """A byte went to somebody: who holds a token that is not revoked."""
        if grant.token_id in revoked:
            raise Broken(f"a byte for a revoked token of {grant.subject}")

    # What may look odd and is right

    def refused(self, update: bytes) -> None:
        """A device's push was refused: what begins in it is pushed again, behind what was under way by then."""
        for structs in decode_update(update, DEFAULT_LIMITS).sections.values():
            for _, _, _, _, _, parent, key, _ in structs:
                if isinstance(parent, str) and parent in _PREFIXES:
                    self.sent_back.add(f"{_PREFIXES[parent]}{key}")

    def copied(self, item: str, ends: Iterable[tuple[int, int]]) -> None:
        """The hostile peer may have written an item of a device's as its own: everybody may write the state."""
        self.copies.setdefault(item, set()).update(ends)

    # What everybody sees

    def check_receipts(self, receipts: Mapping[str, Json], *, who: str, complete: bool) -> None:
        """Receipts never contradict each other; `complete` ones have all `seq`s from 1."""
        seqs = []
        for key, receipt in receipts.items():
            if self.receipts.setdefault(key, receipt) != receipt:
                raise Broken(f"{who} has another receipt for {key}: {receipt}, before {self.receipts[key]}")
            if not key.startswith(("m:", "c:")):
                continue
            seqs.append(receipt["seq"])
            written = self.written.get(key)
            if written is not None and receipt["by"] != written.subject:
                raise Broken(f"{key} was written by {written.subject}, its receipt says {receipt['by']}")
            if written is None and receipt["by"] != HOSTILE:
                raise Broken(f"{key} was never written, its receipt says by {receipt['by']}")
        if complete and sorted(seqs) != list(range(1, len(seqs) + 1)):
            raise Broken(f"{who} has the seqs {sorted(seqs)}: twice, or with gaps")
        self._check_order(receipts, who)
        self._check_runs(receipts, who, complete=complete)

    def _check_runs(self, receipts: Mapping[str, Json], who: str, *, complete: bool) -> None:
        """Facts of a run have no gaps, attempts never go back, and after the end there is nothing."""
        chains: dict[str, list[tuple[int, Json]]] = {}
        for key, fact in receipts.items():
            if key.startswith("r:"):
                run, _, number = key[2:].rpartition(".")
                chains.setdefault(run, []).append((int(number), fact))
        for run, chain in chains.items():
            chain.sort(key=lambda link: link[0])
            if complete and [number for number, _ in chain] != list(range(len(chain))):
                raise Broken(f"{who} has of {run} the facts {[number for number, _ in chain]}")
            facts = [fact for _, fact in chain]
            for before, fact in pairwise(facts):
                if before["lease"] == "ended":
                    raise Broken(f"{who}: {run} went on after its end: {fact}")
                if fact["attempt"] < before["attempt"] or fact["since"] < before["since"]:
                    raise Broken(f"{who}: {run} went back: {before}, {fact}")
                same = before["lease"] == fact["lease"] == "live" and before["attempt"] == fact["attempt"]
                if same and before["worker"] != fact["worker"]:
                    raise Broken(f"{who}: two workers hold attempt {fact['attempt']} of {run}")

    def _check_order(self, receipts: Mapping[str, Json], who: str) -> None:
        last: dict[str, tuple[int, str]] = {}
        for key in sorted(receipts.keys() & self.written.keys(), key=lambda key: int(receipts[key]["seq"])):
            if key in self.sent_back:
                continue
            written = self.written[key]
            before = last.get(written.device, (0, ""))
            if written.order < before[0]:
                raise Broken(f"{who} has {written.device}'s {key} behind its later {before[1]}")
            last[written.device] = written.order, key

    def check_messages(self, texts: Mapping[str, str], *, who: str) -> None:
        """Each text is the beginning of what its author wrote: in order, nothing twice, nothing of anybody else."""
        for id, text in texts.items():
            written = self.written.get(f"m:{id}")
            if written is not None and not written.text.startswith(text):
                raise Broken(f"{who} has the message {id} as {text!r}, written as {written.text!r}")

    def check_there(self, receipts: Mapping[str, Json], entries: Mapping[str, Mapping[str, Json]], *, who: str) -> None:
        """What has a receipt is there, unless its author deleted it."""
        for key in sorted(receipts.keys() & self.written.keys() - self.deleted):
            if not isinstance(entries[key[:2]].get(key[2:]), dict):
                raise Broken(f"{who} has a receipt of {key}, which is gone, though nobody might delete it")

    def check_items(self, items: list[Json], *, who: str) -> None:
        """The list that everybody appends to has each device's items in order, none twice but by the hostile peer."""
        own = [item for item in items if isinstance(item, str) and item.startswith("item:")]
        for item, count in Counter(own).items():
            if count > 1 + len(self.copies.get(item, ())):
                raise Broken(f"{who} has the item {item} {count} times")
        last: dict[str, int] = {}
        for item in own:
            if item in self.copies:
                continue  # Which of several is the device's own, the list does not say.
            _, device, number = item.split(":")
            if int(number) < last.get(device, 0):
                raise Broken(f"{who} has the item {item} behind a later one")
            last[device] = int(number)


#: The subject that attacks; whatever carries its name it may have written.
HOSTILE = "user:mallory"
