"""Hooks over REST and from the terminal: rules, what was told, what would be, and dead letters."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from syncd.server.app import Server
from tests.harness import mint, serving, until
from tests.server.hooks.bench import SECRET, bench, config_of
from tests.server.hooks.receiver import Receiver, receiving

ADMIN = mint("user:ops", ("transcript", "admin"))
RULE: dict[str, Any] = {"name": "done", "on": ["message.created"], "channel": "webhook", "target": "crm"}


ENDED = {"run": "r", "agent": "agent:a", "attempt": 1, "status": "failed"}


def config(url: str) -> str:
    """A configuration: one target, whose URL and key are secret, and one rule."""
    return f"""
[hooks]
allow = ["127.0.0.1"]
retry_s = [0.02]

[[hooks.targets]]
name = "crm"
channel = "webhook"
url = "{url}"
secrets = ["{SECRET}"]

[[hooks.rules]]
name = "filed"
on = ["run.ended"]
channel = "webhook"
target = "crm"
where = {{ status = "failed" }}
"""


class Here:
    """A server with hooks, and somebody who asks."""

    def __init__(self, server: Server, receiver: Receiver, http: ClientSession) -> None:
        self.server = server
        self.receiver = receiver
        self.http = http

    async def ask(self, method: str, path: str, body: Any = None, *, token: str = ADMIN) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.http.request(method, self.server.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json() if answer.content_type == "application/json" else None

    async def post(self, text: str = "hi") -> str:
        await self.ask("POST", "/v1/sessions", {"session": "trip"})
        _, answer = await self.ask("POST", "/v1/sessions/trip/messages", {"text": text})
        return str(answer["message"])

    async def log(self, query: str = "") -> list[dict[str, Any]]:
        _, answer = await self.ask("GET", f"/v1/hooks/log{query}")
        return list(answer["deliveries"])

    async def quiet(self) -> None:
        hooks = self.server.services.hooks
        assert hooks is not None
        last = await hooks.log.last_event()
        await until(lambda: hooks.cursor >= last and not hooks.pending, "the deliveries")


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Here]:
    file = tmp_path / "hooks.toml"
    async with receiving() as receiver, ClientSession() as http:
        file.write_text(config(receiver.url("/SECRET-PATH")))
        async with serving(tmp_path / "syncd.db", hooks=file) as server:
            yield Here(server, receiver, http)


async def test_rules_are_put_listed_and_dropped(here: Here) -> None:
    """Beside those of the file, which stay as they are; what is put works at once."""
    status, answer = await here.ask("PUT", "/v1/hooks/rules/done", RULE)
    assert (status, answer["source"]) == (200, "rest")
    await here.post()
    await here.quiet()
    assert len(here.receiver.got) == 1

    status, answer = await here.ask("GET", "/v1/hooks/rules")
    assert [(rule["rule"]["name"], rule["source"]) for rule in answer["rules"]] == [("filed", "file"), ("done", "rest")]
    assert answer["targets"] == [{"name": "crm", "channel": "webhook", "disabled": "", "pending": 0}]

    assert (await here.ask("DELETE", "/v1/hooks/rules/done"))[0] == 204
    assert (await here.ask("DELETE", "/v1/hooks/rules/done"))[0] == 404
    assert (await here.ask("DELETE", "/v1/hooks/rules/filed"))[0] == 422
    await here.post()
    await here.quiet()
    assert len(here.receiver.got) == 1


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("done", {"target": "unknown"}),
        ("done", {"channel": "apprise"}),
        ("done", {"channel": "call"}),
        ("done", {"on": ["no.such"]}),
        ("done", {"when": {"until_answered": True}}),
        ("done", {"url": "https://example.com"}),
        ("other", {}),
        ("filed", {"name": "filed"}),
    ],
)
async def test_a_rule_that_cannot_be_is_refused(here: Here, path: str, change: dict[str, Any]) -> None:
    """Where there is no such target or channel, above all: addresses are the operator's to name."""
    status, answer = await here.ask("PUT", f"/v1/hooks/rules/{path}", RULE | change)

    assert (status, answer["error"]["code"]) == (422, "invalid")
    assert "Value error" not in answer["error"]["message"]


@pytest.mark.parametrize("token", [mint("user:mona", ("transcript", "admin"), sessions="trip"), mint("user:mona"), ""])
async def test_hooks_are_for_operators(here: Here, token: str) -> None:
    """Who has admin on some sessions only, or none, sees and does nothing here; the schema is for all."""
    expected = 403 if token else 401
    for method, path, body in (
        ("GET", "/v1/hooks/rules", None),
        ("PUT", "/v1/hooks/rules/done", RULE),
        ("DELETE", "/v1/hooks/rules/done", None),
        ("GET", "/v1/hooks/log", None),
        ("GET", "/v1/hooks/dead", None),
        ("POST", "/v1/hooks/replay", {"target": "crm"}),
        ("POST", "/v1/hooks/test", {"id": "evt_1"}),
    ):
        assert (await here.ask(method, path, body, token=token))[0] == expected
    assert (await here.ask("GET", "/v1/events/schema", token=token))[0] == 200


async def test_what_would_be_told_is_said_and_not_done(here: Here) -> None:
    """Of an event that happened or of one that is made up: which rules, whom, and why not."""
    await here.post()
    await here.quiet()
    await here.ask("PUT", "/v1/hooks/rules/done", RULE)
    hooks = here.server.services.hooks
    assert hooks is not None
    events, _ = await hooks.log.events(0, 10)

    status, answer = await here.ask("POST", "/v1/hooks/test", {"id": events[0].id})
    assert (status, answer["type"], answer["session"]) == (200, "message.created", "trip")
    assert [(rule["rule"], rule["act"], rule["reason"]) for rule in answer["rules"]] == [
        ("filed", "no", "is about other types"),
        ("done", "tell", "all conditions hold"),
    ]
    made = {"type": "run.ended", "session": "x", "by": "agent:a", "data": ENDED | {"status": "completed"}}
    _, answer = await here.ask("POST", "/v1/hooks/test", {"event": made})
    assert [rule["reason"] for rule in answer["rules"]] == ["is about another status", "is about other types"]
    made["data"] = ENDED
    _, answer = await here.ask("POST", "/v1/hooks/test", {"event": made})
    assert answer["rules"][0]["act"] == "tell"

    assert (await here.ask("POST", "/v1/hooks/test", {"id": "evt_none"}))[0] == 404
    assert (await here.ask("POST", "/v1/hooks/test", {}))[0] == 422
    assert (await here.ask("POST", "/v1/hooks/test", {"event": made | {"type": "no.such"}}))[0] == 422
    await here.quiet()
    assert here.receiver.got == []
    assert await here.log() == []


@pytest.mark.parametrize(
    ("type", "data"),
    [
        ("run.queued", {}),
        ("session.assigned", {}),
        ("read.moved", {"seq": 1}),
        ("approval.requested", {}),
        ("run.ended", ENDED | {"attempt": "1"}),
        ("message.created", {"message": "m", "role": "user", "to": [], "seq": 2**70, "text": ""}),
    ],
)
async def test_an_event_that_could_not_happen_is_not_tried(here: Here, type: str, data: dict[str, Any]) -> None:
    """What it lacks, or what is wrong with it, is said by name."""
    made = {"type": type, "session": "x", "by": "agent:a", "data": data}
    status, answer = await here.ask("POST", "/v1/hooks/test", {"event": made})
    assert (status, answer["error"]["code"]) == (422, "invalid")
    assert "data" in answer["error"]["message"]


async def test_of_a_run_that_is_over_it_is_still_said_whom_it_was_told(tmp_path: Path) -> None:
    """By how it began, though the facts have forgotten it: the last events know."""
    rule = {"name": "done", "on": ["run.*"], "channel": "push", "whom": ["asker"]}
    async with bench(tmp_path, config_of([rule])) as here:
        for run, asker in (("r1", "user:mona"), ("r2", "user:theo")):
            about = {"run": run, "agent": "agent:a", "message": "m1"}
            await here.happen("run.queued", asker, "s", **about, attempt=0)
            ended = await here.happen("run.ended", "agent:a", "s", **about, attempt=1, status="completed")
            await here.settled()
            found = await here.hooks.find(ended)
            assert found is not None
            assert [(e.subject, e.act) for e in await here.hooks.explain(found)] == [(asker, "tell")]
        unknown = await here.happen("run.ended", "agent:a", "s", run="r3", agent="agent:a", attempt=1, status="failed")
        found = await here.hooks.find(unknown)
        assert found is not None
        assert [e.reason for e in await here.hooks.explain(found)] == ["there is nobody who is asker"]


async def test_the_log_says_what_was_told_and_dead_letters_can_be_replayed(here: Here) -> None:
    """In pages, by target and state; replaying is all that it takes once a target is mended."""
    await here.ask("PUT", "/v1/hooks/rules/done", RULE)
    here.receiver.answer = lambda _: 500
    for _ in range(3):
        await here.post()
    await here.quiet()
    here.receiver.answer = lambda _: 200
    await here.post()
    await here.quiet()

    assert [d["state"] for d in await here.log()] == ["sent", "dead", "dead", "dead"]
    assert [d["state"] for d in await here.log("?state=dead&target=crm&limit=2")] == ["dead", "dead"]
    _, page = await here.ask("GET", "/v1/hooks/dead?limit=2")
    assert page["before"] == page["deliveries"][-1]["row"]
    _, rest = await here.ask("GET", f"/v1/hooks/dead?limit=2&before={page['before']}")
    assert len(rest["deliveries"]) == 1
    assert rest["before"] is None
    dead = page["deliveries"][0]
    assert (dead["rule"], dead["type"], dead["attempt"], dead["reason"]) == (
        "done",
        "message.created",
        2,
        "answered 500",
    )

    _, answer = await here.ask("POST", "/v1/hooks/replay", {"ids": [dead["id"]]})
    assert answer == {"replayed": [dead["id"]], "enabled": False}
    _, answer = await here.ask("POST", "/v1/hooks/replay", {"target": "crm"})
    assert len(answer["replayed"]) == 2
    assert (await here.ask("POST", "/v1/hooks/replay", {}))[0] == 422
    await here.quiet()
    assert {d["state"] for d in await here.log()} == {"sent"}


async def test_secrets_are_in_no_answer_log_or_database(here: Here, tmp_path: Path) -> None:
    """Neither URLs nor keys, whether a target works, fails or refuses."""
    answers = iter([200, 500, 500, 410])
    here.receiver.answer = lambda _: next(answers)
    with capture_logs() as logs:
        await here.ask("PUT", "/v1/hooks/rules/done", RULE)
        for _ in range(3):
            await here.post()
        await here.quiet()
        shown = [await here.ask("GET", path) for path in ("/v1/hooks/rules", "/v1/hooks/log", "/v1/hooks/dead")]
    files = b"".join((tmp_path / f"syncd.db{end}").read_bytes() for end in ("", "-wal"))

    assert len(here.receiver.got) == 4
    for secret in ("SECRET-PATH", SECRET, SECRET.removeprefix("whsec_")):
        assert secret not in repr(shown)
        assert secret not in repr(logs)
        assert secret.encode() not in files


async def test_metrics_count_what_hooks_do(here: Here) -> None:
    """Attempts by channel and result, and what waits."""
    await here.ask("PUT", "/v1/hooks/rules/done", RULE)
    await here.post()
    await here.quiet()
    async with here.http.get(here.server.url + "/metrics") as answer:
        page = await answer.text()

    assert 'syncd_hook_attempts_total{channel="webhook",result="sent"} 1.0' in page
    assert "syncd_hook_pending 0.0" in page
    assert "syncd_hook_events_total 1.0" in page
