"""The REST routes hold what their OpenAPI page says, for requests that are made from it, right and wrong ones.

Requests are made by schemathesis, the same ones each time, and sent to a server of its own with tokens on.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from syncd.server.openapi import document
from syncd.server.rest.table import ROUTES
from tests.harness import mint, server_process

ADMIN = ("transcript", "state", "presence", "command", "admin")
#: A link is no request: it has tests of its own.
DESCRIBED = json.loads(json.dumps(document(ROUTES)))
PAGE = schemathesis.openapi.from_dict(DESCRIBED).exclude(operation_id="sync")
GOOD_ONLY = SchemathesisConfig.from_dict({"generation": {"mode": "positive"}})
ON_A_SESSION = (
    schemathesis.openapi.from_dict(DESCRIBED, config=GOOD_ONLY)
    .include(path_regex="/{session}")
    .exclude(operation_id="deleteSession")
)
#: Bodies that a schema cannot describe to the last, and what is asked of them beside it.
JUDGED_FURTHER = {
    "POST /v1/sessions/import": "the documents of an export decode and fit each other",
    "POST /v1/sessions/{session}/messages": "metadata survives the trip through a document",
    "POST /v1/sessions/{session}/invites": "an invite is good no longer than the server's settings allow",
    "POST /v1/invites/redeem": "a code is one that the server signed",
    "PUT /v1/hooks/rules/{rule}": "a rule names a channel and a target that the server has, and its own name",
    "PUT /v1/push/subscriptions/{device}": "an endpoint is an address of the public internet, its keys are a browser's",
    "POST /v1/hooks/replay": "ids or a target, one of the two",
    "POST /v1/hooks/test": "an id of an event or a made-up one, of a type that there is",
    "POST /v1/tokens": "a token lives no longer than the server's settings allow",
}
bounded = settings(
    max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in a process of its own, which no pace limits."""
    limits = {"requests_per_s": 1e6, "requests_burst": 1_000_000, "auth_failures_per_minute": 1_000_000}
    server = server_process(tmp_path_factory.mktemp("openapi") / "server.db", limits=limits)
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server.url
        runner.run(server.kill())


@pytest.fixture(scope="module")
def room(server_url: str) -> str:
    """A session that is there, and holds a message."""
    bodies: dict[str, Any] = {
        "/v1/sessions": {"session": "room"},
        "/v1/sessions/{session}/messages": {"text": "hi"},
    }
    for path, body in bodies.items():
        case = PAGE[path]["POST"].Case(path_parameters={"session": "room"}, body=body, media_type="application/json")
        assert case.call(base_url=server_url, headers=authorization()).status_code == 201
    return "room"


def authorization() -> dict[str, str]:
    """Return the header of somebody who may do everything."""
    return {"Authorization": f"Bearer {mint('user:prover', ADMIN)}"}


def check(case: schemathesis.Case[Any], url: str) -> None:
    """Send a request and hold its answer against the page, in every way there is."""
    excluded: list[Any] = [positive_data_acceptance] if case.operation.label in JUDGED_FURTHER else []
    case.call_and_validate(base_url=url, headers=authorization(), excluded_checks=excluded)


@PAGE.parametrize()
@bounded
def test_requests_are_answered_as_described(case: schemathesis.Case[Any], server_url: str) -> None:
    """No server error; only what is described comes back; wrong requests and those without token are refused."""
    check(case, server_url)


@ON_A_SESSION.parametrize()
@bounded
def test_requests_on_a_session_are_answered_as_described(
    case: schemathesis.Case[Any], server_url: str, room: str
) -> None:
    """The same of good requests on a session that is there: they succeed."""
    case.path_parameters = {**(case.path_parameters or {}), "session": room}
    check(case, server_url)
