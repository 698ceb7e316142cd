"""The description of the REST routes."""

import json
import re
from typing import Any

import pytest
from aiohttp import web

from syncd.server.app import build_app
from syncd.server.http import ERROR_CODES
from syncd.server.openapi import document
from syncd.server.rest import models
from syncd.server.rest.table import ROUTES
from tests.server.fakes import Running


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """The page, as JSON gives it."""
    loaded: dict[str, Any] = json.loads(json.dumps(document(ROUTES)))
    return loaded


async def test_every_route_is_described(http: Running, page: dict[str, Any]) -> None:
    """What the application serves and what the page says are the same, the console's pages left out."""
    app = build_app(http.server.services)
    pages = web.Application()
    http.server.services.console.add_pages(pages)
    served, no_api = (
        {(route.method.lower(), route.resource.canonical) for route in its.router.routes() if route.resource}
        for its in (app, pages)
    )
    described = {(method, path) for path, methods in page["paths"].items() for method in methods}

    assert served - no_api == described


async def test_page_is_served(http: Running, page: dict[str, Any]) -> None:
    """It is the one made from the table."""
    reply = await http.call("GET", "/v1/openapi.json", token=None)

    assert reply.json == page
    assert page["openapi"] == "3.1.0"


def test_references_lead_somewhere(page: dict[str, Any]) -> None:
    """Every schema that is referred to is there."""
    names = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(page)))

    assert names <= set(page["components"]["schemas"])
    assert "$defs" not in json.dumps(page)


def test_every_operation_is_complete(page: dict[str, Any]) -> None:
    """A name of its own, words, a good answer, errors, and whether a token is needed."""
    operations = [operation for methods in page["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]

    assert len(set(names)) == len(names)
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]
        assert [status for status in operation["responses"] if status[0] in "12"]
        assert "403" in operation["responses"]
        assert ("401" in operation["responses"]) == bool(operation["security"])


def test_only_known_codes_are_promised() -> None:
    """A code in the table of routes is one of the table of codes, and each of those is somebody's."""
    promised = {code for route in ROUTES for code in route.all_errors()}

    assert promised <= set(ERROR_CODES)
    # Not found on paths that nobody serves, and wrong methods, belong to no route.
    assert set(ERROR_CODES) - promised <= {"method_not_allowed"}


def test_every_model_is_explained() -> None:
    """A body or an answer without a word on it helps nobody."""
    for model in models.Body.__subclasses__() + models.Answer.__subclasses__():
        assert model.__doc__, model


async def test_answers_are_as_described(http: Running) -> None:
    """What the routes answer fits the models that the page is made of."""
    await http.call("POST", "/v1/sessions", json={"session": "room"})
    posted = await http.call("POST", "/v1/sessions/room/messages", json={"text": "hello"})
    models.PostedMessage.model_validate_json(posted.raw)
    for path, model in (
        ("/v1/sessions", models.SessionsAnswer),
        ("/v1/sessions/room", models.WholeSession),
        ("/v1/sessions/room/messages", models.MessagesAnswer),
        ("/v1/search?q=hello", models.SearchAnswer),
        ("/readyz", models.Status),
        ("/v1/console", models.ConsoleAnswer),
    ):
        reply = await http.call("GET", path)
        model.model_validate_json(reply.raw)
    error = await http.call("GET", "/v1/sessions/absent")
    models.ErrorAnswer.model_validate_json(error.raw)


def test_the_page_says_what_a_body_must_be(page: dict[str, Any]) -> None:
    """Grammars of subjects and of a token's sessions, one of two fields, and what an export is made of."""
    schemas = page["components"]["schemas"]
    mint, revoke, export = schemas["MintToken"], schemas["RevokeTokens"], schemas["SessionExport"]

    assert re.search(mint["properties"]["sub"]["pattern"], "user:mona")
    assert not re.search(mint["properties"]["sub"]["pattern"], "mona")
    assert not re.search(mint["properties"]["sessions"]["propertyNames"]["pattern"], "a/b")
    assert [way["required"] for way in revoke["oneOf"]] == [["token_id"], ["subject"]]
    assert set(export["required"]) == {"format", "session", "seq", "documents", "authors", "roots"}
