"""Hostile updates: well-formed, within all bounds, over a document's real clocks, with odd references.

Byte mutations behind a strict decoder find nothing; what hurts a document is what its grammar cannot show.
"""

from collections.abc import Sequence
from random import Random

from syncd.core.index import ContainerIndex
from syncd.core.messages import Layer
from syncd.core.spans import Container
from syncd.core.update import Content, Id, Kind
from tests.core import yjs_bytes as yb

_WORDS = ("a", "bc", "héllo", "😀", "x😀y", "😀😀", "\u0000", "漢字")
_VALUES = (
    yb.TRUE,
    yb.NULL,
    b"\x7f",
    b"\x7d\x05",
    b"\x77\x01x",
    b"\x75\x01\x78",
    b"\x76\x01\x01k\x7e",
    b"\x74\x02\x00\x01",
)
_ROOTS = {
    Layer.TRANSCRIPT: ("messages", "runs", "commands", "reads"),
    Layer.STATE: ("board", "list", "note", "page", "fresh", "other"),
}
_CONTENTS = (Content.ANY, Content.STRING, Content.TYPE, Content.DELETED, Content.FORMAT, Content.EMBED, Content.BINARY)


class Grammar:
    """Draws updates for one document. `index` tells it what there is, so that most references mean something.

    It writes under `writers`, all `clients` if there are none, and refers to what is under `clients`. `roots` and
    `keys` are what it writes below, of a choice of its own if they are not given.
    """

    def __init__(
        self,
        rng: Random,
        layer: Layer,
        index: ContainerIndex,
        clients: tuple[int, ...],
        *,
        writers: Sequence[int] = (),
        roots: Sequence[str] = (),
        keys: Sequence[str] = ("k0", "k1", "k2", "k3"),
    ) -> None:
        self._rng = rng
        self._layer = layer
        self._index = index
        self._clients = clients
        self._writers = writers or clients
        self._roots = roots or _ROOTS[layer]
        self._keys = keys
        self._next: dict[int, int] = {}
        self._born: list[Id] = []

    def update(self) -> bytes:
        """Draw one update of up to three clients and some deletions."""
        rng = self._rng
        self._next = dict(self._index.state)
        self._born = []
        clients = rng.sample(self._writers, min(rng.choice((1, 1, 1, 2, 3)), len(self._writers)))
        sections = [self._section(client) for client in clients if rng.random() < 0.95]
        deletes: dict[int, list[tuple[int, int]]] = {}
        for client in self._clients:
            end = self._next.get(client, 0)
            if end and rng.random() < 0.15:
                start = rng.randrange(end)
                deletes[client] = [(start, rng.randint(1, max(1, min(4, end - start))))]
        return yb.update(*sections, deletes=deletes)

    def _section(self, client: int) -> bytes:
        rng = self._rng
        clock = self._index.state.get(client, 0)
        if rng.random() < 0.08:
            clock = max(0, clock + rng.randint(-6, 1))
        structs = []
        first = clock
        for _ in range(rng.choice((1, 1, 2, 3, 5))):
            if rng.random() < 0.04:
                length = rng.randint(1, 3)
                structs.append(yb.gc(length))
            else:
                struct, length = self._item(client, clock)
                structs.append(struct)
            self._born += [(client, clock + offset) for offset in range(length)]
            clock += length
            self._next[client] = max(clock, self._next.get(client, 0))
        return yb.section(client, first, *structs)

    def _item(self, client: int, clock: int) -> tuple[bytes, int]:
        rng = self._rng
        container, key = self._container()
        kind = self._kind_of(container)
        body, content, length = self._content(kind)
        if rng.random() < 0.45:
            return yb.item(content, body, parent=container, key=key), length
        origin = self._ref(client, clock) if rng.random() < 0.85 else None
        right = None
        if self._layer is Layer.STATE and (origin is None or rng.random() < 0.4):
            right = self._ref(client, clock)
        return yb.item(content, body, origin=origin, right=right, parent=container, key=key), length

    def _container(self) -> tuple[Container, str | None]:
        rng = self._rng
        roll = rng.random()
        container: Container
        if roll < 0.45 or not self._index.types:
            container = rng.choice(self._roots)
        elif roll < 0.9:
            container = rng.choice(list(self._index.types))
        else:
            container = self._ref(rng.choice(self._clients), 5)
        keyed = self._kind_of(container) is Kind.MAP or rng.random() < 0.2
        if rng.random() < 0.04:
            keyed = not keyed
        return container, rng.choice(self._keys) if keyed else None

    def _kind_of(self, container: Container) -> Kind | None:
        if isinstance(container, str):
            return self._index.roots.get(container)
        record = self._index.types.get(container)
        return None if record is None else record.kind

    def _content(self, kind: Kind | None) -> tuple[bytes, int, int]:
        """Draw content, mostly of a kind that the container holds; return its bytes, its number and its length."""
        rng = self._rng
        content = rng.choice(_CONTENTS)
        if rng.random() < 0.8:
            if kind in (Kind.TEXT, Kind.XML_TEXT):
                content = rng.choice((Content.STRING, Content.STRING, Content.FORMAT, Content.EMBED, Content.DELETED))
            elif kind in (Kind.XML_FRAGMENT, Kind.XML_ELEMENT):
                content = Content.TYPE
            elif kind in (Kind.MAP, Kind.ARRAY):
                content = rng.choice((Content.ANY, Content.TYPE, Content.BINARY, Content.DELETED))
        if content == Content.STRING:
            word = rng.choice(_WORDS)
            return yb.string(word), content, len(word.encode("utf-16-le")) // 2
        if content == Content.ANY:
            count = 1 if kind is Kind.MAP else rng.choice((1, 1, 3))
            return yb.uint(count) + b"".join(rng.choice(_VALUES) for _ in range(count)), content, count
        if content == Content.DELETED:
            length = rng.choice((1, 1, 3))
            return yb.uint(length), content, length
        if content == Content.FORMAT:
            return yb.string("b") + yb.string(rng.choice(("true", "null"))), content, 1
        if content == Content.EMBED:
            return yb.string('{"i":1}'), content, 1
        if content == Content.BINARY:
            return yb.string("raw"), content, 1
        return self._type(kind), content, 1

    def _type(self, container: Kind | None) -> bytes:
        rng = self._rng
        kinds = [Kind.MAP, Kind.ARRAY, Kind.TEXT]
        if self._layer is Layer.STATE:
            kinds += [Kind.XML_ELEMENT, Kind.XML_TEXT, Kind.XML_FRAGMENT]
            if container in (Kind.XML_FRAGMENT, Kind.XML_ELEMENT):
                kinds = [Kind.XML_ELEMENT, Kind.XML_TEXT]
        kind = rng.choice(kinds)
        return yb.uint(kind) + (yb.string("p") if kind is Kind.XML_ELEMENT else b"")

    def _ref(self, client: int, clock: int) -> Id:
        """Draw an id: the one just before, one born in this update, or any that there is."""
        rng = self._rng
        roll = rng.random()
        if roll < 0.35 and clock:
            return client, clock - 1
        if roll < 0.5 and self._born:
            return rng.choice(self._born)
        other = rng.choice(self._clients)
        return other, rng.randrange(self._next.get(other, 0) + (2 if roll > 0.97 else 0) or 1)
