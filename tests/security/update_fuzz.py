"""A child process that plans hostile updates and uses every accepted one in pycrdt as hard as it can.

    python -m tests.security.update_fuzz LAYER SEED ROUNDS LAST_FILE

A round is a new document and 600 updates drawn for it. Memory and time are limited, so a hang or an allocation without
bound ends it; the update it was at is in LAST_FILE. Any difference from what the index planned is an assertion error.
Prints how many were accepted of how many.
"""

import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from syncd.core.errors import Rejected
from syncd.core.index import ContainerIndex, LayerShape, Plan, state_shape, transcript_shape
from syncd.core.limits import Limits
from syncd.core.messages import Layer
from syncd.core.update import Kind, decode_update
from syncd.core.varint import decode_state_vector
from tests.core.traffic import STATE_ROOTS, TRANSCRIPT_ROOTS, state_traffic, transcript_traffic
from tests.security.update_grammar import Grammar

LIMITS = Limits()
MEMORY_BYTES = 1 << 30
HANG_S = 5
WRITER = 4
TYPES: Mapping[Kind, Any] = {Kind.MAP: Map, Kind.ARRAY: Array, Kind.TEXT: Text, Kind.XML_FRAGMENT: XmlFragment}


def open_document(roots: Mapping[str, Kind], update: bytes, *, skip_gc: bool = False) -> Doc[Any]:
    doc: Doc[Any] = Doc(client_id=WRITER, skip_gc=skip_gc)
    for root, kind in roots.items():
        doc.get(root, type=TYPES[kind])
    doc.apply_update(update)
    return doc


def read_all(doc: Doc[Any], roots: Mapping[str, Kind]) -> dict[str, Any]:
    """Read everything in every way that readers have."""
    return {root: _read(doc.get(root, type=TYPES[kind])) for root, kind in sorted(roots.items())}


def _read(value: Any) -> Any:
    if isinstance(value, Map):
        return {key: _read(value[key]) for key in value.keys()}  # noqa: SIM118 - a pycrdt Map, not a dict
    if isinstance(value, Array):
        return [_read(part) for part in value]
    if isinstance(value, Text):
        return [(_read(part), sorted(marks.items()) if marks else None) for part, marks in value.diff()], str(value)
    if isinstance(value, XmlText):
        return str(value), len(value), sorted((key, str(part)) for key, part in _attributes(value))
    if isinstance(value, XmlElement):
        attributes = sorted((key, str(part)) for key, part in _attributes(value))
        return value.tag, attributes, [_read(child) for child in value.children]
    if isinstance(value, XmlFragment):
        return [_read(child) for child in value.children]
    return value


def _attributes(value: Any) -> Any:
    return value.attributes


def write_on(doc: Doc[Any], roots: Mapping[str, Kind]) -> None:
    """Edit every root, at both ends."""
    for root, kind in roots.items():
        shared = doc.get(root, type=TYPES[kind])
        if kind is Kind.MAP:
            shared["written"] = Map({"text": Text("on")})
            shared["k1"] = 1
        elif kind is Kind.ARRAY:
            shared.insert(0, 1)
            shared.append(Map({"on": 1}))
            del shared[0]
        elif kind is Kind.TEXT:
            shared.insert(0, "on")
            shared += "on"
        else:
            shared.children.append(XmlElement("on"))


def rebuilt(doc: Doc[Any], index: ContainerIndex) -> ContainerIndex:
    """Return a new index made from a document's full state."""
    fresh = ContainerIndex(index.shape, index.roots)
    wide = replace(LIMITS, update_structs_max=1 << 24)
    fresh.commit(fresh.plan(decode_update(doc.get_update(), wide)))
    return fresh


def same(fresh: ContainerIndex, live: ContainerIndex) -> None:
    """What a rebuilt index knows of living content is what the live one knows."""
    assert fresh.state == live.state
    assert fresh.roots == live.roots
    assert {root: set(keys) for root, keys in fresh.entries.items()} == {
        root: set(keys) for root, keys in live.entries.items()
    }
    assert fresh.types.items() <= live.types.items()
    for client, end in live.state.items():
        for place, start, stop in fresh.runs[client].pieces(0, end):
            if place[0] is not None:
                assert list(live.runs[client].pieces(start, stop)) == [(place, start, stop)]


class Fuzz:
    """One layer's fuzzing: a document from honest traffic, then hostile updates, one at a time and piled up."""

    def __init__(self, layer: Layer, rng: Random, last: Path) -> None:
        self._layer = layer
        self._rng = rng
        self._last = last
        self.tried = self.accepted = 0

    def round(self) -> None:
        """Start from new traffic; draw 600 updates and use those that are accepted."""
        rng = self._rng
        shape: LayerShape
        if self._layer is Layer.TRANSCRIPT:
            log, ids = transcript_traffic(rng.getrandbits(32), rng.choice((0, 5, 60)))
            shape, roots = transcript_shape(LIMITS), dict.fromkeys(TRANSCRIPT_ROOTS, Kind.MAP)
        else:
            log, ids = state_traffic(rng.getrandbits(32), rng.choice((0, 5, 60)))
            shape, roots = state_shape(LIMITS), STATE_ROOTS if rng.random() < 0.5 else {}
        index = ContainerIndex(shape, roots)
        # With a server that reloads, or with a replica that keeps what was deleted: a reloaded index no longer knows
        # which deleted content was a type, and such a replica refuses a parent that was none.
        reloads = rng.random() < 0.5
        live = open_document(roots, b"\0\0")
        replicas = [live] if reloads else [live, open_document(roots, b"\0\0", skip_gc=True)]
        for sent in log:
            index.commit(index.plan(decode_update(sent.update, LIMITS)))
            for doc in replicas:
                doc.apply_update(sent.update)
        for _ in range(600):
            update = Grammar(rng, self._layer, index, (*ids.values(), 1, 2, 3)).update()
            self.tried += 1
            try:
                plan = index.plan(decode_update(update, LIMITS))
            except Rejected:
                continue
            self.accepted += 1
            self._last.write_bytes(update)
            signal.alarm(HANG_S)
            self._use(update, index.roots | plan.new_roots, live)
            self._pile_up(update, index, plan, replicas)
            if self.accepted % 8 == 0:
                fresh = rebuilt(live, index)
                same(fresh, index)
                index = fresh if reloads else index
            signal.alarm(0)

    def _pile_up(self, update: bytes, index: ContainerIndex, plan: Plan, replicas: list[Doc[Any]]) -> None:
        """Apply to the documents that have had all the others; they come to the state that was planned."""
        for doc in replicas:
            for root, kind in plan.new_roots.items():
                doc.get(root, type=TYPES[kind])
            doc.apply_update(update)
        index.commit(plan)
        seen = [read_all(doc, index.roots) for doc in replicas]
        for doc in replicas:
            assert decode_state_vector(doc.get_state(), clients_max=99) == index.state
        if self._layer is Layer.TRANSCRIPT:
            assert seen[0] == seen[-1], "replicas with and without garbage collection differ"

    def _use(self, update: bytes, roots: Mapping[str, Kind], live: Doc[Any]) -> None:
        """Apply to a copy, encode, reload, read, write on and encode again."""
        doc = open_document(roots, live.get_update())
        doc.apply_update(update)
        seen = read_all(doc, roots)
        saved = doc.get_update()
        reloaded = open_document(roots, saved)
        again = read_all(reloaded, roots)
        if self._layer is Layer.TRANSCRIPT:  # with right origins, as in the state layer, Yjs itself does not promise it
            assert seen == again, "live and reloaded differ"
        assert doc.get_state() is not None
        write_on(reloaded, roots)
        read_all(open_document(roots, reloaded.get_update()), roots)


def main() -> None:
    layer, seed, rounds, last = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    fuzz = Fuzz(Layer(layer), Random(int(seed)), Path(last))
    for _ in range(int(rounds)):
        fuzz.round()
    print(fuzz.accepted, fuzz.tried)


if __name__ == "__main__":
    main()
