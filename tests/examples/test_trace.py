"""The model of merged typing, on its own."""

from pathlib import Path

import pytest

from examples.trace import Patch, Trace, TraceError, Txn, load, merged_text

RECORDED = Path(__file__).parents[2] / "examples" / "data" / "friendsforever.json.gz"


@pytest.fixture(scope="module")
def trace() -> Trace:
    return load(RECORDED)


def typed(person: int, sees: int, *patches: tuple[int, int, str]) -> Txn:
    return Txn(person, sees, tuple(Patch(*patch) for patch in patches))


def test_positions_count_in_what_the_author_had() -> None:
    """Both type at the end of what they have; neither's place moves by what the other typed meanwhile."""
    text = merged_text([typed(0, 0, (0, 0, "ad")), typed(1, 1, (1, 0, "bc")), typed(0, 0, (2, 0, "e"))])

    assert text == "abcde"


def test_person_0_comes_first_at_the_same_place() -> None:
    """Two inserts at one place stay in one piece each, person 0's in front, whoever's came first."""
    one_way = merged_text([typed(0, 0, (0, 0, "AA")), typed(1, 0, (0, 0, "bb"))])
    other_way = merged_text([typed(1, 0, (0, 0, "bb")), typed(0, 0, (0, 0, "AA"))])

    assert one_way == other_way == "AAbb"


def test_what_both_delete_is_gone_once() -> None:
    """A letter that both delete is not taken from its neighbours."""
    text = merged_text([typed(0, 0, (0, 0, "abc")), typed(1, 1, (1, 1, "")), typed(0, 0, (1, 1, ""))])

    assert text == "ac"


def test_the_recording_is_two_people_at_once(trace: Trace) -> None:
    """It has what the replay is there for: merges, people behind each other, and a text at the end."""
    behind = sum(txn.sees < sum(t.person != txn.person for t in trace.txns[:500]) for txn in trace.txns[:500])

    assert (len(trace.txns), trace.people, len(trace.end)) == (26_078, 2, 21_362)
    assert behind > 100


def test_the_model_agrees_with_the_recording(trace: Trace) -> None:
    """All of it, merged in plain Python, is the text that the recording's own tool ended with."""
    assert merged_text(trace.txns) == trace.end


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """Not compressed, not JSON, or not a trace: an error that names the file."""
    path = tmp_path / "other.json.gz"
    path.write_bytes(b"[]")

    with pytest.raises(TraceError, match=r"other\.json\.gz"):
        load(path)
