"""The tree of edits and regenerated answers, and what a reader sees of it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.branches import REGENERATE, Branches, BranchView, is_request, same_tree
from syncd.core.schema import Receipt
from syncd.core.transcript import MessageView, place


def message(
    id: str,
    seq: int | None,
    *,
    role: str = "",
    parent: str | None = None,
    fork_of: str | None = None,
    attempt: int | None = None,
    regenerate: str | None = None,
    created_at: int = 0,
    by: str = "",
) -> MessageView:
    """A message; its role follows from its id's first letter unless said: `a` for an answer, `r` for a request.

    Requests ask the agent that answers are of, unless `by` says whose.
    """
    roles = {"a": "assistant", "r": "system"}
    by = by or ("agent:a" if (role or roles.get(id[:1])) == "assistant" else "user:x")
    return MessageView(
        id=id,
        role=role or roles.get(id[:1], "user"),
        author={},
        to=("agent:a",) if regenerate else (),
        parts=({"type": "text", "text": id},),
        created_at=created_at,
        run=None,
        attempt=attempt,
        parent=parent,
        fork_of=fork_of,
        metadata={REGENERATE: regenerate} if regenerate else {},
        receipt=None if seq is None else Receipt(seq, by, 0),
    )


class Talk:
    """A session in which each message is written after all others."""

    def __init__(self) -> None:
        self.messages: list[MessageView] = []

    def say(self, id: str, parent: str | None = None, *, fork_of: str | None = None) -> "Talk":
        self.messages.append(message(id, len(self.messages) + 1, parent=parent, fork_of=fork_of))
        return self

    def ask_again(self, request: str, answer: str) -> "Talk":
        parent = self.branches.parent_of(answer)
        self.messages.append(message(request, len(self.messages) + 1, parent=parent, fork_of=answer, regenerate=answer))
        return self

    @property
    def branches(self) -> Branches:
        return Branches(self.messages)


def ids(view: BranchView) -> list[str]:
    assert [item.message.id for item in view.items] == list(view.ids)
    return list(view.ids)


def counters(view: BranchView) -> dict[str, str]:
    """Return what stands beside each message that has alternatives."""
    return {item.message.id: f"{item.index}/{item.count}" for item in view.items if item.count > 1}


def shown(branches: Branches, *selected: str) -> tuple[list[str], dict[str, str]]:
    """Return the visible ids and counters when these messages were selected in their groups, in that order."""
    chosen: dict[str, str] = {}
    for id in selected:
        chosen |= dict(list(branches.line(id).items())[:1])
    view = branches.view(chosen)
    return ids(view), counters(view)


# The stories


def test_a_session_without_forks_is_its_messages_in_order() -> None:
    """Whatever their parents say, and those not sent yet last: nothing changes for who never forks."""
    messages = [message(f"m{seq}", seq, parent="m1" if seq in (3, 4) else None) for seq in range(1, 7)]
    messages += [message("late", None, created_at=2), message("early", None, created_at=1)]
    branches = Branches(messages)
    assert ids(branches.view()) == [view.id for view in sorted(messages, key=place)]
    assert counters(branches.view()) == {}
    assert ids(branches.view())[-2:] == ["early", "late"]


def test_editing_a_message_forks() -> None:
    """2/2 on that message; the old branch is hidden with all that follows it, and comes back (story 28)."""
    talk = Talk().say("u1").say("a1").say("u2").say("a2").say("u2b", "a1", fork_of="u2")
    assert shown(talk.branches) == (["u1", "a1", "u2b"], {"u2b": "2/2"})
    assert shown(talk.branches, "u2") == (["u1", "a1", "u2", "a2"], {"u2": "1/2"})
    talk.say("a2b", "u2b")
    assert shown(talk.branches) == (["u1", "a1", "u2b", "a2b"], {"u2b": "2/2"})
    assert shown(talk.branches, "u2") == (["u1", "a1", "u2", "a2"], {"u2": "1/2"})


def test_regenerating_forks_the_answer_only() -> None:
    """The counter is on the answer, the prompt stays single; until it is there its request stands for it (story 29)."""
    talk = Talk().say("u1").say("a1").ask_again("r", "a1")
    assert shown(talk.branches) == (["u1", "r"], {"r": "2/2"})
    talk.say("a1b", "r")
    assert shown(talk.branches) == (["u1", "a1b"], {"a1b": "2/2"})
    assert talk.branches.view().items[1].siblings == ("a1", "a1b")
    assert shown(talk.branches, "a1") == (["u1", "a1"], {"a1": "1/2"})
    for other in ("r", "a1b"):  # Selected while it was awaited, the answer is.
        assert shown(talk.branches, other) == (["u1", "a1b"], {"a1b": "2/2"})
    talk.ask_again("r2", "a1b").say("a1c", "r2")
    assert shown(talk.branches) == (["u1", "a1c"], {"a1c": "3/3"})


def test_an_answer_may_name_what_it_replaces_itself() -> None:
    """An agent that forks without a request, or names the old answer beside the request, makes one alternative."""
    talk = Talk().say("u1").say("a1").say("a1b", "u1", fork_of="a1")
    assert shown(talk.branches) == (["u1", "a1b"], {"a1b": "2/2"})
    talk.ask_again("r", "a1b").say("a1c", "r", fork_of="a1b")
    assert shown(talk.branches) == (["u1", "a1c"], {"a1c": "3/3"})
    talk.say("a1d", "r", fork_of="a1c")
    assert shown(talk.branches) == (["u1", "a1d"], {"a1d": "4/4"})
    talk = Talk().say("u1").say("a1", "u1").say("a2", "u1").ask_again("r", "a1").say("a2b", "r", fork_of="a2")
    assert shown(talk.branches) == (["u1", "r", "a2b"], {"r": "2/2", "a2b": "2/2"})


@pytest.mark.parametrize("edited", ["p1", "p2", "p3"])
def test_edits_of_edits_are_one_group(edited: str) -> None:
    """P1 to P2 to P3 navigate 3/3 to 1/3; an edit made from any of them joins (story 30)."""
    talk = Talk().say("p1").say("a1").say("p2", fork_of="p1").say("a2", "p2").say("p3", fork_of="p2").say("a3", "p3")
    assert shown(talk.branches) == (["p3", "a3"], {"p3": "3/3"})
    assert shown(talk.branches, "p2") == (["p2", "a2"], {"p2": "2/3"})
    assert shown(talk.branches, "p1") == (["p1", "a1"], {"p1": "1/3"})
    talk.say("p4", fork_of=edited)
    assert shown(talk.branches) == (["p4"], {"p4": "4/4"})
    assert talk.branches.view().items[0].siblings == ("p1", "p2", "p3", "p4")
    assert talk.branches.view().items[0].group == "p1"


def test_groups_of_different_prompts_are_independent() -> None:
    """Selecting in one leaves the other as it is, whatever the order of edits and regenerations (story 31)."""
    edits = [("x", "x", "u2"), ("y", "u2", "u2"), ("r1", "", "a1"), ("r2", "", "a2")]
    rng = Random(31)
    seen = set()
    for _ in range(12):
        rng.shuffle(edits)
        talk = Talk().say("u1").say("a1").say("u2", "a1").say("a2", "u2")
        for id, _, of in edits:
            if id.startswith("r"):
                talk.ask_again(id, of).say("a" + id, id)
            else:
                talk.say(id, "a1", fork_of=of)
        branches = talk.branches
        seen.add(str(shown(branches, "a1", "u2", "a2")))
        assert shown(branches, "a1", "u2", "ar2") == (["u1", "a1", "u2", "ar2"], {
            "a1": "1/2", "u2": "1/3", "ar2": "2/2",
        })  # fmt: skip
        assert shown(branches, "ar1", "u2", "a2") == (["u1", "ar1"], {"ar1": "2/2"})
    assert seen == {str((["u1", "a1", "u2", "a2"], {"a1": "1/2", "u2": "1/3", "a2": "1/2"}))}


def test_a_follow_up_goes_and_comes_with_its_answer() -> None:
    """Hidden under an answer that is not selected, back when it is (story 32)."""
    talk = Talk().say("u1").say("a1").ask_again("r", "a1").say("a1b", "r").say("u2", "a1b").say("a2", "u2")
    assert shown(talk.branches) == (["u1", "a1b", "u2", "a2"], {"a1b": "2/2"})
    assert shown(talk.branches, "a1") == (["u1", "a1"], {"a1": "1/2"})
    assert shown(talk.branches, "a1", "a1b") == (["u1", "a1b", "u2", "a2"], {"a1b": "2/2"})
    # Written while the answer was awaited, it is under whatever answers.
    talk = Talk().say("u1").say("a1").ask_again("r", "a1").say("u2", "r").say("a1b", "r")
    assert shown(talk.branches) == (["u1", "a1b", "u2"], {"a1b": "2/2"})


def test_regenerating_a_tool_call_hides_its_follow_up() -> None:
    """And regenerating only the follow-up stays local (story 33)."""
    talk = Talk().say("u1").say("a_tool", "u1").say("a_text", "a_tool").ask_again("r1", "a_text").say("a_text2", "r1")
    assert shown(talk.branches) == (["u1", "a_tool", "a_text2"], {"a_text2": "2/2"})
    talk.ask_again("r2", "a_tool").say("a_tool2", "r2").say("a_text3", "a_tool2")
    assert shown(talk.branches) == (["u1", "a_tool2", "a_text3"], {"a_tool2": "2/2"})
    assert shown(talk.branches, "a_tool") == (["u1", "a_tool", "a_text2"], {"a_tool": "1/2", "a_text2": "2/2"})
    assert shown(talk.branches, "a_tool", "a_text") == (
        ["u1", "a_tool", "a_text"], {"a_tool": "1/2", "a_text": "1/2"},
    )  # fmt: skip


def test_two_devices_that_edit_apart_make_two_siblings() -> None:
    """Each sees its own until they meet; then both see the same tree, by `seq` (story 35)."""
    before = [message("u1", 1), message("a1", 2)]
    ann, bob = message("zann", None, fork_of="u1"), message("bob", None, fork_of="u1")
    assert shown(Branches([*before, ann])) == (["zann"], {"zann": "2/2"})
    assert shown(Branches([*before, bob])) == (["bob"], {"bob": "2/2"})
    sent = [message("zann", 3, fork_of="u1"), message("bob", 4, fork_of="u1")]
    assert shown(Branches([*before, sent[0], bob])) == (["bob"], {"bob": "3/3"})
    for order in ([*before, *sent], [*sent[::-1], *before[::-1]]):
        assert shown(Branches(order)) == (["bob"], {"bob": "3/3"})
        assert Branches(order).siblings("u1") == ("u1", "zann", "bob")


# Several who write, and what stands where


def test_answers_of_two_agents_are_no_alternatives() -> None:
    """Both are shown, in the agreed order; regenerating one leaves the other, and it keeps its place."""
    talk = Talk().say("u1").say("a1", "u1").say("b", "u1").say("u2", "b").ask_again("r", "a1").say("a1b", "r")
    assert shown(talk.branches) == (["u1", "a1b", "b", "u2"], {"a1b": "2/2"})
    assert shown(talk.branches, "a1") == (["u1", "a1", "b", "u2"], {"a1": "1/2"})


def test_only_who_was_asked_answers_a_request() -> None:
    """What others write there stands as a message below it, unless they were given the request."""
    talk = Talk().say("u1").say("a1").ask_again("r", "a1")
    forged, answer = message("a_eve", 4, parent="r", by="user:eve"), message("a1b", 5, parent="r")
    messages = [*talk.messages, forged, answer]
    assert shown(Branches([*talk.messages, forged])) == (["u1", "r", "a_eve"], {"r": "2/2"})
    assert shown(Branches(messages)) == (["u1", "a1b", "a_eve"], {"a1b": "2/2"})
    other = message("a_other", 4, parent="r", by="agent:other")
    given = {"a_other": "r"}
    assert shown(Branches([*talk.messages, other])) == (["u1", "r", "a_other"], {"r": "2/2"})
    assert shown(Branches([*talk.messages, other], answers=lambda view: given.get(view.id))) == (
        ["u1", "a_other"], {"a_other": "2/2"},
    )  # fmt: skip


def test_superseded_output_is_not_shown_and_counts_for_nothing() -> None:
    """The retry stands in its place, what followed the dead attempt is still there, and forks of both are one group."""
    talk = Talk().say("u1").say("a1").ask_again("r", "a1")
    dead, retry = message("dead", 4, role="assistant", parent="r", attempt=1), message("a2", 5, parent="r", attempt=2)
    messages = [*talk.messages, dead, retry]
    assert shown(Branches(messages)) == (["u1", "dead", "a2"], {"dead": "2/2"})
    branches = Branches(messages, superseded={"dead"})
    assert shown(branches) == (["u1", "a2"], {"a2": "2/2"})
    for answer in ("dead", "a2"):
        again = [*messages, message("r2", 6, parent="u1", fork_of=answer, regenerate=answer)]
        assert shown(Branches(again, superseded={"dead"})) == (["u1", "r2"], {"r2": "3/3"})
        assert shown(Branches(again)) == (["u1", "r2"], {"r2": "3/3"})  # Whoever does not know yet: the same tree.
    assert shown(Branches([*messages[:4], message("u2", 5, parent="dead")], superseded={"dead"})) == (
        ["u1", "r", "u2"], {"r": "2/2"},
    )  # fmt: skip
    plain = Branches([message("u1", 1), message("a1", 2), message("u2", 3)], superseded={"a1"})
    assert shown(plain) == (["u1", "u2"], {})
    forked = Branches([message("u1", 1), message("a1", 2), message("a2", 3, fork_of="a1")], superseded={"a2"})
    assert shown(forked) == (["u1", "a1"], {})


def test_a_further_attempt_stands_where_it_was_written() -> None:
    """What was said between two attempts at an answer stays between them."""
    talk = Talk().say("u1").say("a1", "u1").say("b", "u1").ask_again("r", "a1")
    attempts = [message(f"a{n}", 3 + n, parent="r", attempt=n) for n in (2, 3)]
    assert shown(Branches([*talk.messages, *attempts])) == (["u1", "a2", "b", "a3"], {"a2": "2/2"})


def test_the_path_to_a_message_is_the_branch_that_ends_there() -> None:
    """Other branches, what comes later and requests are left out, whatever is newest or selected elsewhere."""
    talk = Talk().say("u1").say("a1").say("u2").say("a2").say("u2b", "a1", fork_of="u2").say("a2b", "u2b")
    talk.ask_again("r", "a1").say("a1b", "r").say("u3", "a1b")

    def path(message: str) -> list[str]:
        return [view.id for view in talk.branches.path_to(message)]

    assert path("a2") == ["u1", "a1", "u2", "a2"]
    assert path("u2b") == ["u1", "a1", "u2b"]
    assert path("r") == ["u1"]
    assert path("a1b") == ["u1", "a1b"]
    assert path("u3") == ["u1", "a1b", "u3"]
    assert path("nobody") == []
    talk.ask_again("r2", "a1b").say("u4", "r2")
    assert path("u4") == ["u1", "u4"]


def test_a_path_holds_the_answers_that_messages_before_it_got_meanwhile() -> None:
    """Messages that waited in a queue: each answer stands behind what it answers, and the path ends as it must."""
    talk = Talk().say("u1").say("u2").say("u3").say("a1", "u1").say("a2", "u2").say("chat", "a1").say("b", "u3")

    def path(message: str) -> list[str]:
        return [view.id for view in talk.branches.path_to(message)]

    assert path("u1") == ["u1"]
    assert path("u2") == ["u1", "a1", "u2"]
    assert path("u3") == ["u1", "a1", "u2", "a2", "u3"]
    # What a run wrote in several messages is all there; what is being written, and what others said about it, is not.
    talk.messages += [replace(message("a1_more", 8, parent="a1"), run="r1"), message("a1_talk", 9, parent="a1")]
    talk.messages[3] = replace(talk.messages[3], run="r1")
    talk.messages[4] = replace(talk.messages[4], parts=({"type": "text", "text": "", "state": "streaming"},))
    assert path("u3") == ["u1", "a1", "a1_more", "u2", "u3"]
    # Another answer is asked for: those of other agents to the same prompt are no part of its history.
    talk = Talk().say("u1").say("a1", "u1").say("a2", "u1").ask_again("r", "a1")
    assert path("r") == ["u1"]
    talk.say("a1b", "r")
    assert path("a1b") == ["u1", "a1b"]


def test_a_leaf_is_shown_whatever_is_selected() -> None:
    """All the way up to it; groups beside the way stay as selected."""
    talk = Talk().say("u1").say("a1").say("u2").say("u1b", fork_of="u1").say("u2b", "a1", fork_of="u2")
    assert ids(talk.branches.view()) == ["u1b"]
    assert ids(talk.branches.view({"u1": "u1b", "u2": "u2b"}, "u2")) == ["u1", "a1", "u2"]
    assert talk.branches.view(leaf="u2").leaf == "u2"
    assert ids(talk.branches.view({"u1": "u1", "u2": "a1", "nothing": "u1"}, "nobody")) == ["u1", "a1", "u2b"]
    assert Branches([]).view().leaf is None


# Partial and hostile data


def test_a_link_that_names_nothing_before_is_none() -> None:
    """To itself, to what comes later, to what is not there: the message follows the one before it, and is there."""
    for other in ("m2", "m3", "gone"):
        for field in ("parent", "fork_of"):
            linked = message("m2", 2, **{field: other})  # type: ignore[arg-type]
            branches = Branches([message("m1", 1), linked, message("m3", 3)])
            assert shown(branches) == (["m1", "m2", "m3"], {}), (field, other)
    circle = [message(f"m{n}", n, parent=f"m{n % 3 + 1}", fork_of=f"m{n % 3 + 1}") for n in (1, 2, 3)]
    assert shown(Branches(circle)) == (["m3"], {"m3": "2/2"})
    assert shown(Branches(circle), "m1") == (["m1", "m2"], {"m1": "1/2"})


def test_alternatives_to_a_message_that_is_gone_are_alternatives() -> None:
    """Deleted, or not here yet: the group is the same, and the first that is here says where it stands."""
    edits = [message("x", 3, parent="u1", fork_of="gone"), message("y", 4, fork_of="x")]
    edits.append(message("z", 5, parent="u1", fork_of="gone"))
    branches = Branches([message("u1", 1), *edits])
    assert shown(branches) == (["u1", "z"], {"z": "3/3"})
    assert branches.view().items[1].group == "gone"
    whole = Branches([message("u1", 1), message("gone", 2), *edits])
    assert shown(whole, "x") == (["u1", "x"], {"x": "2/4"})


def test_an_answer_to_what_only_looks_like_a_request_is_a_message() -> None:
    """A request is a system message that says so; what a person writes under one is no answer."""
    talk = Talk().say("u1").say("a1")
    fake = message("f", 3, role="user", fork_of="a1", regenerate="a1")
    assert not is_request(fake)
    assert shown(Branches([*talk.messages, fake, message("a2", 4, parent="f")])) == (["u1", "f", "a2"], {"f": "2/2"})
    lone = message("r", 3, regenerate="gone")
    assert shown(Branches([*talk.messages, lone, message("a2", 4, parent="r")])) == (["u1", "a1", "a2"], {})


NAMES = [f"{kind}{number}" for kind in "uar" for number in range(5)]


@st.composite
def transcripts(draw: st.DrawFn) -> list[MessageView]:
    """Messages with any links at all, in their order; some not sent yet."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=len(NAMES)))
    sent = draw(st.integers(0, len(names)))
    link = st.sampled_from([None, None, *NAMES, "gone"])
    return [
        message(
            name,
            at + 1 if at < sent else None,
            parent=draw(link),
            fork_of=draw(link),
            attempt=draw(st.sampled_from([None, 1, 2])),
            regenerate="a" if name[0] == "r" else None,
            created_at=0 if at < sent else at,
        )
        for at, name in enumerate(names)
    ]


def everything(branches: Branches, messages: Sequence[MessageView]) -> list[object]:
    return [branches.view().items, *(branches.view(leaf=view.id).items for view in messages)]


@given(transcripts(), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_any_order_of_arrival_gives_the_same_view(messages: list[MessageView], random: Random) -> None:
    """The tree is a function of the messages: however they come, and with whatever links (story 36)."""
    mixed = random.sample(messages, len(messages))
    assert everything(Branches(mixed), messages) == everything(Branches(messages), messages)


@given(transcripts(), st.sets(st.sampled_from(NAMES)))
@settings(max_examples=300, deadline=None)
def test_no_links_lose_a_message_or_break_a_counter(messages: list[MessageView], superseded: set[str]) -> None:
    """Each is visible when it is the leaf, or what stands for it is; each counter is right, each sibling reachable."""
    branches = Branches(messages, superseded=superseded)
    for view in messages:
        there = branches.view(leaf=view.id)
        assert len({item.message.id for item in there.items}) == len(there.items)
        assert not superseded & set(ids(there))
        answered = is_request(view) and branches.siblings(view.id) and view.id not in branches.siblings(view.id)
        assert view.id in ids(there) or view.id in superseded or answered
        for item in there.items:
            assert item.siblings[item.index - 1] == item.message.id
            assert item.count == len(item.siblings)
            assert branches.view(branches.line(item.message.id)).items  # What is above an item is a line that ends.
            for sibling in item.siblings:
                moved = branches.view({**branches.line(view.id), **branches.line(sibling)})
                assert sibling in ids(moved)
        path = branches.path_to(view.id)
        assert len({step.id for step in path}) == len(path)
        if not is_request(view) and view.id not in superseded:
            assert path[-1].id == view.id


def test_ten_thousand_messages_take_a_fraction_of_a_second() -> None:
    """In a line, with a fork at each, or as one group: the tree and its view, without recursion."""
    line = [message(f"m{n:05}", n, parent=f"m{n - 1:05}") for n in range(10_000)]
    forks = [message(f"u{n:05}", n, parent=f"u{n - 2:05}", fork_of=f"u{n - 1:05}" if n % 2 else None)
             for n in range(10_000)]  # fmt: skip
    group = [message(f"m{n:05}", n, fork_of=f"m{n - 1:05}") for n in range(10_000)]
    for messages, count in ((line, 10_000), (forks, None), (group, 1)):
        took = []
        for _ in range(3):
            started = time.process_time()
            view = Branches(messages).view()
            Branches(messages).path_to(messages[-1].id)
            took.append(time.process_time() - started)
        assert count is None or len(view.items) == count
        assert min(took) < 0.25  # Some 50 ms on an idle core.


def test_a_message_that_grew_leaves_the_tree_as_it_is() -> None:
    """A reader of a stream builds it once; a receipt, a link or a message more makes another."""
    before = [message("u1", 1), message("a1", 2)]
    grown = [before[0], message("a1", 2)]
    assert grown[1] is not before[1]
    assert same_tree(before, grown)
    for other in (message("a1", None), message("a1", 2, parent="u1"), message("a1", 2, fork_of="u1")):
        assert not same_tree(before, [before[0], other])
    assert not same_tree(before, before[:1])
