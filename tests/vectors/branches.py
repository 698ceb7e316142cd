"""Vectors of branches: messages with their links, and what readers see of them. Knows nothing of documents."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from syncd.core.branches import REGENERATE, Branches, BranchView
from syncd.core.schema import Receipt
from syncd.core.transcript import MessageView
from tests.vectors.vector import Vectors

#: Some a reader may have by heart, by their names; the rest are made at random. A line is `id parent fork_of`.
STORIES = {
    "no forks": "u1, a1, u2, a2 u1",
    "a message edited, and answered": "u1, a1, u2, a2, u2b a1 u2, a2b u2b",
    "an answer made again is awaited": "u1, a1, r u1 a1",
    "and is there": "u1, a1, r u1 a1, a1b r",
    "and again": "u1, a1, r u1 a1, a1b r, r2 u1 a1b, a1c r2",
    "an answer that forks by itself": "u1, a1, a1b u1 a1",
    "an answer that names what it replaces, beside its request": "u1, a1, r u1 a1, a1b r a1",
    "an alternative to another answer than the request's": "u1, a1 u1, a2 u1, r u1 a1, a2b r a2",
    "edits of edits are one group": "p1, a1, p2 - p1, a2 p2, p3 - p2, a3 p3, p4 - p1",
    "groups of two prompts": "u1, a1, u2 a1, a2 u2, r1 u1 a1, ar1 r1, r2 u2 a2, ar2 r2, x a1 u2",
    "what follows an answer goes and comes with it": "u1, a1, r u1 a1, a1b r, u2 a1b, a2 u2",
    "written while an answer was awaited": "u1, a1, r u1 a1, u2 r, a1b r",
    "answers of two agents": "u1, a1 u1, b u1, u2 b, r u1 a1, a1b r",
    "an answer by somebody who was not asked": "u1, a1, r u1 a1, e r, a1b r",
    "and of the same attempt": "u1, a1, r u1 a1, e r - 1, a1b r - 1, u2 e",
    "links to itself, to later ones and to none": "m1, m2 m2 m2, m3 m4 m4, m4 gone, m5 - gone",
    "alternatives to what is gone": "u1, x u1 gone, y - x, z u1 gone",
    "a circle": "m1 m2 m2, m2 m3 m3, m3 m1 m1",
}
SUPERSEDED = {
    "a retry stands for the request": ("u1, a1, r u1 a1, dead r - 1, a2 r - 2", ["dead"]),
    "what followed a dead attempt": ("u1, a1, r u1 a1, dead r - 1, u2 dead", ["dead"]),
    "output that does not count": ("u1, a1, u2", ["a1"]),
    "an alternative that does not count": ("u1, a1, a2 - a1", ["a2"]),
    "further attempts stand where they were written": ("u1, a1 u1, b u1, r u1 a1, a2 r - 2, c, a3 r - 3", []),
}
RANDOM_CASES = 50
AGENT = "agent:a"


def branch_vectors() -> Vectors:
    """Return trees with all of their views."""
    cases = [_case(name, _story(text), []) for name, text in STORIES.items()]
    cases += [_case(name, _story(text), superseded) for name, (text, superseded) in SUPERSEDED.items()]
    rng = Random(20)
    cases += [_case(f"at random {number}", *_any(rng)) for number in range(RANDOM_CASES)]
    return {
        "about": "messages in any order, and what a reader sees who selected something, or stands at a leaf",
        "cases": cases,
    }


def message_of(fields: dict[str, Any]) -> MessageView:
    """Return the message that a case's fields are of."""
    seq = fields.get("seq")
    return MessageView(
        id=fields["id"],
        role=fields["role"],
        author={},
        to=tuple(fields.get("to", ())),
        parts=(),
        created_at=fields.get("created_at", 0),
        run=None,
        attempt=fields.get("attempt"),
        parent=fields.get("parent"),
        fork_of=fields.get("fork_of"),
        metadata=fields.get("metadata", {}),
        receipt=None if seq is None else Receipt(seq, fields["by"], 0),
    )


def shown(view: BranchView) -> list[list[Any]]:
    """Return a view as its items: `[id, group]`, and `index, siblings` where there are several."""
    return [
        [item.message.id, item.group, *([item.index, list(item.siblings)] if item.count > 1 else [])]
        for item in view.items
    ]


def _case(name: str, messages: list[dict[str, Any]], superseded: Sequence[str]) -> Vectors:
    branches = Branches(map(message_of, messages), superseded=frozenset(superseded))
    ids = [message["id"] for message in messages]
    views = [{"selected": {}, "leaf": None}, *({"selected": {}, "leaf": id} for id in ids)]
    views += [{"selected": dict(list(branches.line(id).items())[:1]), "leaf": None} for id in ids]
    views.append({"selected": {id: ids[-1 - at] for at, id in enumerate(ids)}, "leaf": None})
    for view in views:
        selected: Any = view["selected"]
        leaf: Any = view["leaf"]
        view["items"] = shown(branches.view(selected, leaf))
    parents = {id: branches.parent_of(id) for id in ids}
    return {"name": name, "messages": messages, "superseded": list(superseded), "parents": parents, "views": views}


def _story(text: str) -> list[dict[str, Any]]:
    """Return messages of lines `id parent fork_of attempt`, a dash for none.

    `r…` asks for another answer, `e…` is by nobody who was asked.
    """
    return [_fields(seq, *line.split()) for seq, line in enumerate(text.split(", "), start=1)]


def _fields(seq: int | None, id: str, parent: str = "-", fork_of: str = "-", attempt: str = "-") -> dict[str, Any]:
    role = {"a": "assistant", "b": "assistant", "d": "assistant", "e": "assistant", "r": "system"}.get(id[0], "user")
    optional = {"parent": parent, "fork_of": fork_of, "attempt": attempt}
    by = {"e": "user:eve", "a": AGENT, "b": AGENT, "d": AGENT}.get(id[0], "user:x")
    fields: dict[str, Any] = {"id": id, "role": role, "by": by, "seq": seq}
    fields |= {name: int(value) if name == "attempt" else value for name, value in optional.items() if value != "-"}
    if role == "system":
        fields |= {"to": [AGENT], "metadata": {REGENERATE: fork_of}}
    return fields


def _any(rng: Random) -> tuple[list[dict[str, Any]], list[str]]:
    """Return messages with any links at all, some not sent yet, and some of them superseded."""
    names = rng.sample([f"{kind}{number}" for kind in "uaer" for number in range(5)], rng.randint(2, 10))
    sent = rng.randint(len(names) // 2, len(names))
    messages = []
    for at, name in enumerate(names):
        parent, fork_of = (rng.choice(["-", "-", "gone", *names]) for _ in range(2))
        fields = _fields(at + 1 if at < sent else None, name, parent, fork_of, rng.choice(["-", "1", "2"]))
        messages.append(fields | ({} if at < sent else {"created_at": at}))
    rng.shuffle(messages)
    return messages, sorted(_some(rng, names))


def _some(rng: Random, names: Sequence[str]) -> Iterator[str]:
    if rng.random() < 0.5:
        yield from rng.sample(list(names), rng.randint(0, 2))
