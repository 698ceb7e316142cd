"""A person of the kill loop: a client in a process of its own, to be killed. Arguments: one JSON object.

Writes messages, list items and streamed answers, and notes into a file of its own, flushed to disk, what it was
promised and what it was shown. Told to end by SIGTERM, it stops writing, waits for all to be synced and for the message
`end`, notes what its copy holds, and exits with 0.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import structlog
from syncd_client import Client, Message, MessageChanged, Session, StateChanged

from tests.fault.notes import ITEMS, Notes, copy_of

END = "end"


class Person:
    """One life of a person."""

    def __init__(self, session: Session, notes: Notes, *, name: str, life: int, pause_s: float) -> None:
        self._session = session
        self._notes = notes
        self._name = name
        self._subject = f"user:{name}"
        self._life = life
        self._pause_s = pause_s
        self._chance = random.Random(f"{name} {life}")
        self._written = 0
        self._items_seen: set[str] = set()
        self._waiting: set[asyncio.Task[None]] = set()
        self.stopping = asyncio.Event()

    def _word(self) -> str:
        self._written += 1
        return f"{self._name}.{self._life}.{self._written}"

    async def write(self) -> None:
        """Write, one thing after another, until told to stop. A reader's pause is 0: it writes nothing."""
        while self._pause_s and not self.stopping.is_set():
            kind = self._chance.random()
            if kind < 0.6:
                await self._post()
            elif kind < 0.85:
                await self._append()
            else:
                await self._stream()
            await asyncio.sleep(self._chance.uniform(0, 2 * self._pause_s))

    async def _post(self) -> None:
        word = self._word()
        message = await self._session.post(word)
        self._notes.add("saved", "message", message.id, word)
        waiting = asyncio.create_task(self._synced(message, word))
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)

    async def _synced(self, message: Message, word: str) -> None:
        await message.synced()
        self._notes.add("synced", "message", message.id, word)

    async def _append(self) -> None:
        word = self._word()
        self._session.state.list(ITEMS).append(word)
        await self._session.saved()
        self._notes.add("saved", "item", word)

    async def _stream(self) -> None:
        text = ""
        async with self._session.stream() as stream:
            for _ in range(self._chance.randint(1, 12)):
                word = f"{self._word()} "
                await stream.text(word)
                text += word
                if self._chance.random() < 0.3:
                    await stream.flush()
                    self._notes.add("saved", "message", stream.id, text)
                await asyncio.sleep(0.01)
        self._notes.add("saved", "message", stream.id, text)

    async def note_all_synced(self) -> None:
        """Note each time that nothing is unsynced: all that was noted as saved before, in earlier lives too, is."""
        while True:
            await self._session.synced()
            self._notes.add("all synced")
            await asyncio.sleep(0.1)

    async def watch(self) -> None:
        """Note what is shown of others: that comes from the server alone."""
        async for change in self._session.changes():
            if isinstance(change, MessageChanged) and change.message.receipt is not None:
                if change.message.by != self._subject:
                    self._notes.add("shown", "message", change.message.id, change.message.text)
            elif isinstance(change, StateChanged) and change.name == ITEMS:
                new = {str(item) for item in self._session.state.list(ITEMS)} - self._items_seen
                self._items_seen |= new
                for item in new:
                    if not item.startswith(f"{self._name}."):
                        self._notes.add("shown", "item", item)

    def seen_end(self) -> bool:
        """Whether the last message is there, with its place."""
        return any(view.text == END and view.seq is not None for view in self._session.messages())


async def main(url: str, token: str, store: str, notes: str, session: str, **who: Any) -> None:
    """Live one life."""
    async with Client(url, token=token, store=store) as client:
        opened = await client.open(session)
        notes_file = Notes(Path(notes))
        person = Person(opened, notes_file, **who)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, person.stopping.set)
        notes_file.add("began", str(who["life"]))
        background = [asyncio.create_task(person.watch()), asyncio.create_task(person.note_all_synced())]
        await person.write()
        await person.stopping.wait()
        await opened.synced()
        notes_file.add("drained")
        while not person.seen_end():
            for task in background:
                if task.done() and task.exception() is not None:
                    raise RuntimeError from task.exception()
            await asyncio.sleep(0.02)
        notes_file.add("copy", json.dumps(copy_of(opened), sort_keys=True))
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if broken := os.environ.get("SYNCD_FAULT_BREAK"):
        from tests.fault.broken import break_it

        break_it(broken)
    asyncio.run(main(**json.loads(sys.argv[1])))
