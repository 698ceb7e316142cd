"""Honest traffic: what peers with pycrdt documents write, in an order in which a server could see it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from pycrdt import Array, Doc, Map, Text, TransactionEvent, UndoManager, XmlElement, XmlFragment, XmlText

from syncd.core.update import Kind

CHUNKS = ("a", "token ", "né", "漢字", "😀", "x😀y", "👩‍👩‍👧", "\n", "0123456789" * 3)
TRANSCRIPT_ROOTS = ("messages", "runs", "commands", "reads", "receipts")
STATE_ROOTS = {"board": Kind.MAP, "list": Kind.ARRAY, "note": Kind.TEXT, "page": Kind.XML_FRAGMENT}


@dataclass
class Sent:
    """One update and who wrote it."""

    subject: str
    update: bytes


class Peer:
    """One replica that notes its own updates and takes in other peers' at any later time."""

    def __init__(self, subject: str, client_id: int, *, skip_gc: bool) -> None:
        self.subject = subject
        self.doc: Doc[Any] = Doc(client_id=client_id, skip_gc=skip_gc)
        self.seen = 0
        self.own: list[bytes] = []
        self._remote = False
        self._subscription = self.doc.observe(self._note)

    def _note(self, event: TransactionEvent) -> None:
        if not self._remote:
            self.own.append(event.update)

    def receive(self, log: list[Sent], until: int) -> None:
        self._remote = True
        for sent in log[self.seen : until]:
            if sent.subject != self.subject:
                self.doc.apply_update(sent.update)
        self._remote = False
        self.seen = max(self.seen, until)

    def close(self) -> None:
        self.doc.unobserve(self._subscription)


def _play(peers: list[Peer], rng: Random, steps: int, act: Callable[[Peer], None]) -> list[Sent]:
    log: list[Sent] = []
    for _ in range(steps):
        peer = rng.choice(peers)
        if rng.random() < 0.3:
            peer.receive(log, rng.randint(peer.seen, len(log)))
        act(peer)
        log += [Sent(peer.subject, update) for update in peer.own]
        peer.own.clear()
    for peer in peers:
        peer.receive(log, len(log))
        peer.close()
    return log


def transcript_traffic(seed: int, steps: int = 200) -> tuple[list[Sent], dict[str, int]]:
    """Four peers post, stream, run, command, read and redact; return the log and each subject's client id."""
    rng = Random(seed)
    ids = {f"user:{name}": rng.getrandbits(53) for name in "abcd"}
    peers = [Peer(subject, client_id, skip_gc=True) for subject, client_id in ids.items()]
    for peer in peers:
        for root in TRANSCRIPT_ROOTS:
            peer.doc.get(root, type=Map)
    own: dict[str, list[str]] = {subject: [] for subject in ids}
    numbers = iter(range(10**6))

    def act(peer: Peer) -> None:
        doc, mine = peer.doc, own[peer.subject]
        roll = rng.random()
        if roll < 0.15 or not mine:
            key = f"m{next(numbers)}"
            parts = Array([Map({"id": "p", "type": "text", "text": Text(rng.choice(CHUNKS))})])
            metadata = Map({"n": [1, {"deep": None}]})
            doc["messages"][key] = Map({"role": "user", "to": ["agent:x"], "parts": parts, "metadata": metadata})
            mine.append(key)
        elif roll < 0.65:
            parts = doc["messages"][rng.choice(mine)]["parts"]
            streamed = parts[len(parts) - 1]["text"]
            with doc.transaction():
                for _ in range(rng.choice((1, 1, 8))):
                    streamed += rng.choice(CHUNKS)
        elif roll < 0.72:
            doc["messages"][rng.choice(mine)]["parts"].append(Map({"id": "q", "type": "text", "text": Text()}))
        elif roll < 0.80:
            doc["messages"][rng.choice(mine)]["metadata"]["state"] = rng.choice((1, 2.5, True, None, "x", [b"raw"]))
        elif roll < 0.86:
            key = f"r{peer.subject[5:]}{rng.randint(0, 3)}"
            if key in doc["runs"]:
                doc["runs"][key]["status"] = rng.choice(("running", "completed"))
            else:
                doc["runs"][key] = Map({"agent": "agent:x", "status": "running"})
        elif roll < 0.91:
            doc["commands"][f"c{next(numbers)}"] = {"kind": "cancel", "payload": {"why": "😀"}}
        elif roll < 0.97:
            doc["reads"][peer.subject] = {"seq": next(numbers)}
        else:
            del doc["messages"][mine.pop(rng.randrange(len(mine)))]

    return _play(peers, rng, steps, act), ids


def state_traffic(seed: int, steps: int = 200, *, skip_gc: bool = False) -> tuple[list[Sent], dict[str, int]]:
    """Four peers edit maps, arrays, texts and XML together, undo included; return the log and the client ids."""
    rng = Random(seed)
    ids = {f"user:{name}": rng.getrandbits(53) for name in "abcd"}
    peers = [Peer(subject, client_id, skip_gc=skip_gc) for subject, client_id in ids.items()]
    undo: dict[str, UndoManager] = {}
    for peer in peers:
        make_roots(peer.doc, STATE_ROOTS)
        undo[peer.subject] = UndoManager(scopes=[peer.doc["note"]])

    def act(peer: Peer) -> None:
        doc = peer.doc
        roll = rng.random()
        if roll < 0.25:
            _edit_map(doc["board"], rng)
        elif roll < 0.45:
            _edit_array(doc["list"], rng)
        elif roll < 0.75:
            edit_text(doc["note"], rng)
        elif roll < 0.95:
            _edit_xml(doc["page"], rng)
        elif undo[peer.subject].can_undo():
            undo[peer.subject].undo()

    return _play(peers, rng, steps, act), ids


def make_roots(doc: Doc[Any], roots: dict[str, Kind]) -> None:
    """Make every root under its kind, as has to be done before anything is applied."""
    types: dict[Kind, Any] = {
        Kind.MAP: Map,
        Kind.ARRAY: Array,
        Kind.TEXT: Text,
        Kind.XML_FRAGMENT: XmlFragment,
    }
    for root, kind in roots.items():
        doc.get(root, type=types[kind])


def _value(rng: Random) -> Any:
    return rng.choice(
        (
            lambda: rng.randint(-5, 2**40),
            lambda: "text 😀",
            lambda: [1, {"a": None}],
            lambda: b"raw",
            lambda: Text("nested 😀"),
            lambda: Map({"inner": Array([1, Map({})])}),
            lambda: Array(["x", 2]),
        )
    )()


def _edit_map(board: Any, rng: Random) -> None:
    key = f"k{rng.randint(0, 5)}"
    if key in board and rng.random() < 0.4:
        value = board[key]
        if isinstance(value, Text):
            edit_text(value, rng)
        elif isinstance(value, Map):
            value["more"] = _value(rng)
        else:
            del board[key]
    else:
        board[key] = _value(rng)


def _edit_array(items: Any, rng: Random) -> None:
    at = rng.randint(0, len(items))
    if at < len(items) and rng.random() < 0.4:
        del items[at]
    else:
        items.insert(at, _value(rng))


def edit_text(note: Any, rng: Random) -> None:
    """Insert, delete, mark or embed at a character's boundary."""
    marks = list(_boundaries(note))
    at = rng.randrange(len(marks))
    roll = rng.random()
    if roll < 0.6 or len(marks) < 3:
        note.insert(marks[at], rng.choice(CHUNKS))
    elif roll < 0.65:
        note.insert_embed(marks[at], {"image": "x.png"})
    else:
        start, stop = sorted((marks[rng.randrange(len(marks))], marks[at]))
        if start == stop:
            return
        if roll < 0.8:
            note.format(start, stop, {"bold": rng.choice((True, None))})
        else:
            del note[start:stop]


def _boundaries(note: Any) -> Iterator[int]:
    """The positions, in bytes as pycrdt counts, between a text's characters."""
    at = 0
    yield at
    for part, _ in note.diff():
        for size in (len(char.encode()) for char in part) if isinstance(part, str) else (1,):
            at += size
            yield at


def _edit_xml(page: Any, rng: Random) -> None:
    children = page.children
    roll = rng.random()
    if roll < 0.3 or not len(children):
        children.insert(rng.randint(0, len(children)), XmlElement("p", {"class": "x"}, [XmlText("hello 😀")]))
        return
    at = rng.randrange(len(children))
    element = children[at]
    if roll < 0.4:
        del children[at]
    elif roll < 0.6:
        element.attributes[f"a{rng.randint(0, 2)}"] = "v😀"
    elif roll < 0.8 and len(element.children):
        words = element.children[0]
        if isinstance(words, XmlText):
            words.insert(0, rng.choice(CHUNKS), {"bold": True} if rng.random() < 0.5 else None)
    else:
        element.children.append(XmlElement("b"))
