"""Updates under attack: bytes of real updates changed, and well-formed updates with odd references over real documents.

What is accepted is used in pycrdt as hard as one can, and loaded by Yjs from the same bytes. Knows nothing of sessions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from pycrdt import Array, Doc, Map, Text, XmlElement

from syncd.core.continuation import find_continuation
from syncd.core.errors import Rejected
from syncd.core.index import ContainerIndex, Plan, state_shape, transcript_shape
from syncd.core.limits import Limits
from syncd.core.messages import Layer
from syncd.core.update import Kind, decode_update
from syncd.core.varint import decode_state_vector
from tests.core.traffic import STATE_ROOTS, TRANSCRIPT_ROOTS, state_traffic, transcript_traffic
from tests.fuzz.content import Differential, content_of, make_roots, open_document
from tests.fuzz.mutate import mutate
from tests.fuzz.target import ACCEPTED
from tests.security.update_grammar import Grammar

LIMITS: Final = Limits()
_ROUND: Final = 600


def honest(layer: Layer, seed: int, steps: int) -> tuple[list[bytes], list[int]]:
    """Return the updates of four honest peers, in order, and their client ids."""
    log, ids = (transcript_traffic if layer is Layer.TRANSCRIPT else state_traffic)(seed, steps)
    return [sent.update for sent in log], [*ids.values()]


def empty_index(layer: Layer, roots: Mapping[str, Kind]) -> ContainerIndex:
    """Return the index of an empty document."""
    shape = transcript_shape(LIMITS) if layer is Layer.TRANSCRIPT else state_shape(LIMITS)
    return ContainerIndex(shape, {} if layer is Layer.TRANSCRIPT else roots)


def use(layer: Layer, base: bytes, update: bytes, roots: Mapping[str, Kind]) -> dict[str, Any]:
    """Apply to a copy of a document, encode, reload, read, write on and encode again; return what was read."""
    doc = open_document(roots, [base, update])
    seen = content_of(doc, roots)
    reloaded = open_document(roots, [doc.get_update()])
    if layer is Layer.TRANSCRIPT:  # with right origins, as in the state layer, Yjs itself does not promise it
        assert seen == content_of(reloaded, roots), "live and reloaded differ"
    assert doc.get_state() is not None
    _write_on(reloaded, roots)
    content_of(open_document(roots, [reloaded.get_update()]), roots)
    return seen


def _write_on(doc: Doc[Any], roots: Mapping[str, Kind]) -> None:
    """Edit every root, at both ends."""
    types: Mapping[Kind, Any] = {Kind.MAP: Map, Kind.ARRAY: Array, Kind.TEXT: Text}
    for root, kind in roots.items():
        if kind is Kind.XML_FRAGMENT:
            make_roots(doc, {root: kind})
            doc[root].children.append(XmlElement("on"))
            continue
        shared = doc.get(root, type=types[kind])
        if kind is Kind.MAP:
            shared["written"] = Map({"text": Text("on")})
            shared["k1"] = 1
        elif kind is Kind.ARRAY:
            shared.insert(0, 1)
            shared.append(Map({"on": 1}))
            del shared[0]
        else:
            shared.insert(0, "on")
            shared += "on"


@dataclass(frozen=True)
class _Station:
    """A document on its way: what it holds, and the real update that comes next."""

    layer: Layer
    roots: Mapping[str, Kind]
    index: ContainerIndex
    base: bytes
    following: bytes


class _Judge:
    """Judges updates as a server does, without an author."""

    _plan = Plan(0)

    def _judge(self, index: ContainerIndex, update: bytes) -> str:
        text, refused = find_continuation(update, index), ""
        try:
            self._plan = index.plan(decode_update(update, LIMITS))
        except Rejected as refusal:
            refused = refusal.code
        if text is not None:  # a server would have taken it without a plan
            assert not refused
            assert self._plan.ends == {text.client: text.end}
            assert self._plan.touched(index) == [(text.root, text.key)]
        return refused or ACCEPTED


class BytesTarget(_Judge):
    """Real updates with changed bytes, at documents that wait for them. The first byte of an input says at which."""

    def __init__(self, rng: Random, differential: Differential) -> None:
        self._differential = differential
        self._stations = [self._station(rng, layer) for layer in Layer for _ in range(24)]
        self._following = [station.following for station in self._stations]
        self._at = self._stations[0]
        self._data = b""

    def _station(self, rng: Random, layer: Layer) -> _Station:
        updates, _ = honest(layer, rng.getrandbits(32), rng.choice((2, 12, 40)))
        roots = dict.fromkeys(TRANSCRIPT_ROOTS, Kind.MAP) if layer is Layer.TRANSCRIPT else STATE_ROOTS
        index = empty_index(layer, roots)
        done = rng.randrange(len(updates))
        doc = open_document(roots, updates[:done])
        for update in updates[:done]:
            index.commit(index.plan(decode_update(update, LIMITS)))
        return _Station(layer, roots, index, doc.get_update(), updates[done])

    def draw(self, rng: Random) -> bytes:
        at = rng.randrange(len(self._stations))
        return bytes([at]) + mutate(self._following[at], rng, self._following)

    def feed(self, data: bytes) -> str:
        self._at = self._stations[(data[0] if data else 0) % len(self._stations)]
        self._data = data[1:]
        return self._judge(self._at.index, self._data)

    def check(self) -> None:
        roots = self._at.index.roots | self._plan.new_roots
        seen = use(self._at.layer, self._at.base, self._data, roots)
        self._differential.add([self._at.base, self._data], roots, seen)

    def finish(self) -> None:
        self._differential.settle()

    def seeds(self) -> list[bytes]:
        """Return inputs to begin with."""
        return [bytes([at]) + update for at, update in enumerate(self._following)]


class DocumentTarget(_Judge):
    """Well-formed updates with odd references over one document's real clocks, one at a time and piled up.

    The document comes to the state that was planned, in replicas with and without garbage collection; the index rebuilt
    from it is the live one. After 600 inputs there is another document.
    """

    def __init__(self, layer: Layer, rng: Random, differential: Differential) -> None:
        self._layer = layer
        self._rng = rng
        self._differential = differential
        self._drawn = self._accepted = 0
        self._start()

    def _start(self) -> None:
        rng, layer = self._rng, self._layer
        updates, ids = honest(layer, rng.getrandbits(32), rng.choice((0, 5, 60)))
        roots: dict[str, Kind] = dict.fromkeys(TRANSCRIPT_ROOTS, Kind.MAP)
        if layer is Layer.STATE:
            roots = dict(STATE_ROOTS) if rng.random() < 0.5 else {}
        self._index = empty_index(layer, roots)
        # With a server that reloads, or with a replica that keeps what was deleted: a reloaded index no longer knows
        # which deleted content was a type, and such a replica refuses a parent that was none.
        self._reloads = rng.random() < 0.5
        self._live = open_document(roots, [])
        self._replicas = [self._live] if self._reloads else [self._live, open_document(roots, [], skip_gc=True)]
        self._log: list[bytes] = []
        for update in updates:
            self._pile_up(update, self._index.plan(decode_update(update, LIMITS)))
        self._grammar_ids = (*ids, 1, 2, 3)

    def draw(self, rng: Random) -> bytes:
        if self._drawn and self._drawn % _ROUND == 0:
            self._end_round()
            self._start()
        self._drawn += 1
        return Grammar(rng, self._layer, self._index, self._grammar_ids).update()

    def feed(self, data: bytes) -> str:
        self._data = data
        return self._judge(self._index, data)

    def check(self) -> None:
        self._accepted += 1
        roots = self._index.roots | self._plan.new_roots
        base = self._live.get_update()
        self._differential.add([base, self._data], roots, use(self._layer, base, self._data, roots))
        self._pile_up(self._data, self._plan)
        seen = [content_of(doc, self._index.roots) for doc in self._replicas]
        for doc in self._replicas:
            assert decode_state_vector(doc.get_state(), clients_max=99) == self._index.state
        if self._layer is Layer.TRANSCRIPT:
            assert seen[0] == seen[-1], "replicas with and without garbage collection differ"
        if self._accepted % 8 == 0:
            fresh = self._rebuilt()
            _same(fresh, self._index)
            self._index = fresh if self._reloads else self._index

    def finish(self) -> None:
        self._end_round()
        self._differential.settle()

    def _pile_up(self, update: bytes, plan: Plan) -> None:
        """Apply to the documents that have had all the others."""
        for doc in self._replicas:
            make_roots(doc, plan.new_roots)
            doc.apply_update(update)
        self._index.commit(plan)
        self._log.append(update)

    def _end_round(self) -> None:
        """Have Yjs load everything that was accepted, in order, and what a late joiner would be sent."""
        roots = self._index.roots
        if self._log:
            if self._layer is Layer.TRANSCRIPT:  # odd right origins come out by the history they are applied to
                self._differential.add(self._log, roots, content_of(open_document(roots, self._log), roots))
            saved = self._live.get_update()
            self._differential.add([saved], roots, content_of(open_document(roots, [saved]), roots))

    def _rebuilt(self) -> ContainerIndex:
        """Return a new index made from the document's full state."""
        fresh = ContainerIndex(self._index.shape, self._index.roots)
        wide = replace(LIMITS, update_structs_max=1 << 24)
        fresh.commit(fresh.plan(decode_update(self._live.get_update(), wide)))
        return fresh


def _same(fresh: ContainerIndex, live: ContainerIndex) -> None:
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
