"""Schemas: what the sessions make, and what webhooks send, is what is published."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from syncd.core.events import EVENT_TYPES
from syncd.server.hooks.schemas import LOG_TYPES, PRESENCE_TYPES, TYPES, events_schema
from tests.core.test_server_events import CALL, answer, tool
from tests.core.test_server_runs import RUN, Scene, agent
from tests.harness import ROOT, until
from tests.server.hooks.bench import bench, config_of, webhook
from tests.server.hooks.receiver import receiving


def story() -> Scene:
    """A session in which everything happens that a log tells of."""
    scene = Scene()
    scene.post()
    scene.join("w1", agent(), worker="w1")
    scene.claim("w1")
    scene.push("w1", scene.begin("w1"))
    scene.push("w1", answer(scene, tool("approval-requested")))
    scene.push("w1", scene.status("w1", "suspended"))
    scene.server.turn()
    scene.command("yes", "approve", tool_call=CALL)
    scene.push("w1", scene.status("w1", "running"))
    scene.server.turn()
    scene.server.machine.detach("w1")
    scene.server.turn()
    scene.server.now += scene.server.limits.lease_grace_s + 1
    scene.server.turn()
    scene.command("stop", "cancel", run=RUN)
    pen = scene.pens["ann"]
    over = {"kind": "handoff", "session": "s", "at": 1, "payload": {"to": "user:bob", "note": "n"}}
    scene.push("ann", pen.transcript_edit(lambda r: r.set(("commands",), "over", over)))
    scene.push("ann", pen.transcript_edit(lambda r: r.set(("reads",), "user:ann", {"seq": 3, "at": 1})))
    scene.server.turn()
    return scene


def test_what_sessions_make_is_what_is_published() -> None:
    """Every type of event, each field of it named and of its kind."""
    events = story().server.events

    assert {event.type for event in events} == set(EVENT_TYPES) == set(LOG_TYPES)
    for event in events:
        model = LOG_TYPES[event.type]
        model.model_validate(event.body)
        assert set(event.body) <= set(model.model_fields), event.type


async def test_what_webhooks_send_is_what_is_published(tmp_path: Path) -> None:
    """Single events and digests hold against the schema; what is wrong does not."""
    rules: list[dict[str, Any]] = [
        {"name": "each", "on": ["*"], "channel": "webhook", "target": "crm"},
        {"name": "all", "on": ["*"], "channel": "webhook", "target": "crm", "digest_s": 0.2},
    ]
    validator = Draft202012Validator(events_schema())
    types = set(TYPES) - {"participant.away", "participant.back"} | {"digest"}
    async with (
        receiving() as receiver,
        bench(tmp_path, config_of(rules, [webhook("crm", receiver.url(), per_s=1_000)])) as here,
    ):
        await here.happened([(e.type, e.by, "s", e.body) for e in story().server.events])
        here.people.change("s", "user:mona", "offline", "active")
        here.people.change("s", "agent:a", "active", "offline")
        here.hooks.offline("agent:a", ["s"])
        await until(lambda: types <= {got.json["type"] for got in receiver.got}, "every type's webhook")

    for got in receiver.got:
        assert [error.message for error in validator.iter_errors(got.json)] == [], got.json
    wrong = receiver.got[0].json
    for broken in (wrong | {"type": "no.such"}, wrong | {"data": 5}, {k: v for k, v in wrong.items() if k != "id"}):
        assert list(validator.iter_errors(broken))


def test_the_schema_is_one() -> None:
    """It holds against its own, and names every type."""
    schema = events_schema()
    Draft202012Validator.check_schema(schema)

    assert set(TYPES) | {"digest"} <= set(schema["$defs"])
    assert not set(LOG_TYPES) & set(PRESENCE_TYPES)


@pytest.mark.parametrize("type", TYPES)
def test_every_type_is_documented(type: str) -> None:
    """The page of hooks has a row for it, with an example."""
    assert f"| `{type}` |" in (ROOT / "docs/hooks.md").read_text(encoding="utf-8")
