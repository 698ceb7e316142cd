"""The kill loop in short, and what it looks with."""

import asyncio
import json
from collections import Counter
from pathlib import Path

from tests.fault.__main__ import table
from tests.fault.loop import KillLoop, Tally
from tests.fault.notes import Content, Notes, Promises


async def test_nothing_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    """Server and clients killed and frozen under load, over bad networks: what was promised is there, once, for all."""
    tally = await KillLoop(tmp_path, kills=6, seed=5).run()

    assert (tally.lost, tally.shown_lost, tally.doubles, tally.other) == ([], [], [], [])
    assert tally.kills == 6
    assert tally.server_kills > 0
    assert tally.client_kills > 0
    assert tally.acked == tally.saved > 50
    assert len(tally.first_ack_s) == tally.server_kills


def test_what_is_missing_is_named() -> None:
    """A message that is not there, or not all of it, and an item; what is there more than once, in either place."""
    held = Content({"m1": "a b", "m2": "c"}, Counter(["d", "d", "c"]), [1, 2])

    assert held.lacks([("m1", "a "), ("m2", "c")], ["d"]) == []
    assert held.lacks([("m1", "a b e"), ("m3", "f")], ["g"]) == ["message m1 'a b e'", "message m3 'f'", "item g"]
    assert held.doubles() == ["c (2 times)", "d (2 times)"]


def test_notes_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    """The longest text counts; "all synced" counts for what was saved before it; half a line is left for later."""
    notes = Notes(tmp_path / "n")
    notes.add("began", "1")
    notes.add("saved", "message", "m", "one ")
    notes.add("saved", "message", "m", "one two ")
    notes.add("saved", "item", "i")
    notes.add("all synced")
    notes.add("saved", "item", "j")
    notes.add("shown", "message", "o", "three")
    promises = Promises(tmp_path / "n")
    with (tmp_path / "n").open("ab") as file:
        file.write(json.dumps([0, "shown", "item", "k"]).encode())
    promises.read()

    assert (promises.life, promises.synced, promises.synced_items) == (1, {"m": "one two "}, {"i"})
    assert (promises.saved_items, promises.shown, len(promises.synced_at)) == ({"i", "j"}, {"o": "three"}, 1)
    assert promises.shown_items == set()
    with (tmp_path / "n").open("ab") as file:
        file.write(b"\n")
    promises.read()
    assert promises.shown_items == {"k"}


async def test_a_finding_ends_the_run_and_shows(tmp_path: Path) -> None:
    """A tally with anything in it is not clean, and the loop does not go on from there."""
    loop = KillLoop(tmp_path, kills=3, seed=1)
    loop.tally.lost.append("message m")

    tally = await asyncio.wait_for(loop.run(), 60)

    assert (tally.kills, tally.clean) == (0, False)
    assert not any(tally.clean for tally in (Tally(shown_lost=["x"]), Tally(doubles=["x"]), Tally(other=["x"])))
    assert table(tally).row_count == 10
