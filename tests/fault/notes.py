"""Notes: what a person was promised and shown, on disk before anything else happens, and what follows from it.

Knows nothing of processes, servers or networks.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from syncd_client import Session

from syncd.core.entries import ENTRY_LAYER, EntryKind, Snapshot
from syncd.core.messages import Json, Layer
from syncd.core.replica import Replica
from syncd.core.schema import Root
from syncd.core.transcript import MessageView, TranscriptView
from syncd.core.update import Kind
from syncd.store.local import LocalStore
from syncd.store.session_log import SqliteSessionLog

#: The shared list that everybody appends to.
ITEMS = "items"


class Notes:
    """A file of lines, each on disk when `add` returns."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, what: str, *about: str) -> None:
        """Note it, with the time that all processes of this machine share."""
        os.write(self._file, json.dumps([time.monotonic(), what, *about]).encode() + b"\n")
        os.fdatasync(self._file)


@dataclass
class Promises:
    """What one person was promised and shown, read from their notes as far as they go.

    A message is its id and the text that it had at least: a stream's grows.
    """

    path: Path
    saved: dict[str, str] = field(default_factory=dict)
    synced: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    saved_items: set[str] = field(default_factory=set)
    synced_items: set[str] = field(default_factory=set)
    shown_items: set[str] = field(default_factory=set)
    drained: bool = False
    copy: str = ""
    #: The last life that began to work.
    life: int = 0
    #: When something was found to be synced.
    synced_at: list[float] = field(default_factory=list)
    _read: int = 0

    def read(self) -> None:
        """Take in what was noted since the last time."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]  # A kill may leave half a line.
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                at, what, *about = json.loads(line)
            except ValueError:
                continue  # Half a line of a life that was killed, with the next life's first behind it.
            self._take(at, what, about)

    def _take(self, at: float, what: str, about: Sequence[str]) -> None:
        if what == "began":
            self.life = int(about[0])
        elif what == "all synced":
            if self.saved.keys() - self.synced.keys() or self.saved_items - self.synced_items:
                self.synced_at.append(at)
            self.synced.update(self.saved)
            self.synced_items |= self.saved_items
        elif what == "drained":
            self.drained = True
        elif what == "copy":
            self.copy = about[0]
        elif about[0] == "item":
            (self.saved_items if what == "saved" else self.shown_items).add(about[1])
        else:
            _, message, text = about
            held = {"saved": self.saved, "synced": self.synced, "shown": self.shown}[what]
            held[message] = max(held.get(message, ""), text, key=len)
            if what == "synced":
                self.synced_at.append(at)


@dataclass(frozen=True)
class Content:
    """What a store holds of one session."""

    texts: dict[str, str]
    items: Counter[str]
    seqs: list[int]

    def lacks(self, messages: Iterable[tuple[str, str]], items: Iterable[str]) -> list[str]:
        """Return what of these is not there, whole."""
        missing = [f"message {id} {text!r}" for id, text in messages if not self.texts.get(id, "").startswith(text)]
        return missing + [f"item {item}" for item in items if not self.items[item]]

    def doubles(self) -> list[str]:
        """Return what is there more than once."""
        words = Counter(word for text in self.texts.values() for word in text.split())
        return [f"{word} ({count} times)" for word, count in (words + self.items).items() if count > 1]


def copy_of(session: Session) -> dict[str, Json]:
    """Return all that a copy of a session shows, in the order it shows it."""
    return {"messages": [view.json() for view in session.messages()], ITEMS: session.state.list(ITEMS).json()}


async def on_server_disk(path: Path, session: str) -> Content:
    """Return what a server's store holds, which nobody has open, as its next start will find it."""
    log = SqliteSessionLog(path)
    await log.open()
    try:
        if await log.info(session) is None:
            return Content({}, Counter(), [])
        updates: dict[Layer, list[bytes]] = {layer: [] for layer in Layer}
        for entry in await log.read(session):
            if entry.kind is EntryKind.SNAPSHOT:
                for layer, update in Snapshot.decode(entry.data).updates.items():
                    updates[layer].append(update)
            elif entry.kind in ENTRY_LAYER:
                updates[ENTRY_LAYER[entry.kind]].append(entry.data)
        return _content(updates)
    finally:
        await log.close()


async def on_client_disk(path: Path, session: str) -> Content:
    """Return what a client's store holds."""
    store = LocalStore(path)
    await store.open()
    try:
        _, stored = await store.load(session)
    finally:
        await store.close()
    updates: dict[Layer, list[bytes]] = {layer: [] for layer in Layer}
    for update in stored:
        updates[update.layer].append(update.update)
    return _content(updates)


def _content(updates: dict[Layer, list[bytes]]) -> Content:
    words = Replica(dict.fromkeys(map(str, Root), Kind.MAP))
    words.apply(updates[Layer.TRANSCRIPT])
    state = Replica({ITEMS: Kind.ARRAY})
    state.apply(updates[Layer.STATE])
    views: list[MessageView] = TranscriptView().messages(words)
    items = state.read(ITEMS)
    assert isinstance(items, list)
    return Content(
        {view.id: view.text for view in views},
        Counter(str(item) for item in items),
        sorted(view.seq for view in views if view.seq is not None),
    )
