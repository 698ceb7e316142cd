"""The browser client's codec and merges: what it writes by chance is read here as it was meant."""

import dataclasses
import json
import re
from typing import Any

import pytest

from syncd.core.codec import _CLIENT_TYPES, decode_client, decode_server
from syncd.core.document import Document
from syncd.core.index import state_shape, transcript_shape
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import Layer
from syncd.core.schema import Root
from tests.node import WEB_CLIENT, run_node
from tests.vectors.vector import from_hex, to_json

CLIENT_KINDS = {kind.__name__ for kind in _CLIENT_TYPES.values()}


@pytest.fixture(scope="module", params=[1, 2026])
def speech(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what the browser client wrote by chance."""
    run = run_node("tests/speak.mjs", str(request.param), "300", place=WEB_CLIENT)
    assert run.returncode == 0, run.stderr
    spoken: dict[str, Any] = json.loads(run.stdout)
    return spoken


def test_frames_of_the_browser_are_read_here_as_they_were_meant(speech: dict[str, Any]) -> None:
    """Each frame decodes strictly, to the same fields."""
    for spoken in speech["frames"]:
        data, frame = from_hex(spoken["hex"]), dict(spoken["frame"])
        kind = frame.pop("kind")
        message = decode_client(data, DEFAULT_LIMITS) if kind in CLIENT_KINDS else decode_server(data)

        assert type(message).__name__ == kind
        meant = {_snake(name): _entries(value) for name, value in frame.items()}
        assert {f.name: to_json(getattr(message, f.name)) for f in dataclasses.fields(message)} == meant


def test_pushes_of_the_browser_are_taken_here_one_after_the_other(speech: dict[str, Any]) -> None:
    """Each merged push decodes strictly and fits by the shape rule, its entries begin in the order they were written,
    and in the end the documents hold what the browser's do."""
    shapes = {Layer.TRANSCRIPT: transcript_shape(DEFAULT_LIMITS), Layer.STATE: state_shape(DEFAULT_LIMITS)}
    documents = {layer: Document(shape, DEFAULT_LIMITS, client_id=1) for layer, shape in shapes.items()}
    assert len(speech["pushes"]) > 4
    for push in speech["pushes"]:
        document, update = documents[Layer(push["layer"])], from_hex(push["hex"])
        plan = document.plan(document.decode(update))

        assert {str(client): end for client, end in plan.ends.items()} == push["ends"]
        begun = [f"{i.container}/{i.key}" for i in plan.inserts if i.container in (Root.MESSAGES, Root.COMMANDS)]
        assert begun == [key for key in push["entries"] if key.startswith(("messages/", "commands/"))]
        assert bool(begun) == push["starts"]
        document.accept(plan)
        document.apply((update,), plan.ends)

    transcript, state = documents[Layer.TRANSCRIPT].replica, documents[Layer.STATE].replica
    assert {str(root): transcript.read(root) for root in Root} == speech["holds"]["transcript"]
    assert {root: state.read(root) for root in ("ui", "list", "note")} == speech["holds"]["state"]


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def _entries(value: Any) -> Any:
    """Return entries of a presence, and rows of an index, as the vectors write them."""
    if isinstance(value, list) and value and isinstance(value[0], dict) and value[0].keys() & {"peer", "excerpt"}:
        return [list(entry.values()) for entry in value]
    return value
