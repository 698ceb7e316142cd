"""Texts edited through the replica, by code points, read the same in Yjs."""

from random import Random

from syncd.core.replica import Replica, merge
from syncd.core.update import EMPTY_UPDATE, Kind
from tests.yjs import in_yjs

_PIECES = ["a", "é", "漢字", "😀", "👩‍👩‍👧", "שלום", "مرحبا", "\u202eabc", "e\u0301", "\n", "𝒳𝒴"]


def test_texts_are_equal_in_python_and_yjs() -> None:
    """Emoji, CJK, combining and right-to-left text, edited at random by two at once, come out equal in both."""
    rng = Random(5)
    merged, expected = [], []
    for _ in range(40):
        replicas = [Replica({"note": Kind.TEXT}, client_id=id) for id in (11, 12)]
        updates: list[bytes] = []
        for _ in range(12):
            made = []
            for replica in replicas:
                length = replica.length("note")
                start = rng.randint(0, length)
                end = min(length, start + rng.choice([0, 0, 1, 2]))
                text = "".join(rng.choices(_PIECES, k=rng.randint(0, 3)))
                model = list(str(replica.read("note")))
                made.append(replica.edit(lambda r, s=start, e=end, t=text: r.text_replace(("note",), s, e, t)))  # type: ignore[misc]
                model[start:end] = text
                assert replica.read("note") == "".join(model)
            for replica, update in zip(reversed(replicas), made, strict=True):
                if update != EMPTY_UPDATE:
                    replica.apply([update])
            updates += [update for update in made if update != EMPTY_UPDATE]
        assert replicas[0].read("note") == replicas[1].read("note")
        merged.append(merge(updates))
        expected.append(replicas[0].read("note"))
    assert [content["note"] for content in in_yjs(merged, {"note": "text"})] == expected
