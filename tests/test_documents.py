"""What the documents say is what the code has: every limit, code, frame and setting; links resolve; examples run."""

import ast
import asyncio
import dataclasses
import inspect
import json
import re
import sys
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from syncd_client import Client, Session
from typer.main import get_command

from syncd.cli.main import app
from syncd.core.codec import _CLIENT_TYPES, _SERVER_TYPES
from syncd.core.entries import EntryKind
from syncd.core.errors import HOSTILE_CODES, CloseCode, RejectCode
from syncd.core.limits import Limits
from syncd.server.app import Server, create_server
from syncd.server.config import Settings, load
from syncd.server.hooks.config import HooksConfig
from syncd.server.hooks.schemas import TYPES
from syncd.server.metrics import Metrics
from syncd.server.rest.table import ROUTES
from tests.harness import PATIENCE_S

ROOT = Path(__file__).parent.parent
PROTOCOL = (ROOT / "syncd/core/PROTOCOL.md").read_text(encoding="utf-8")
SERVER_PAGE = (ROOT / "docs/server.md").read_text(encoding="utf-8")
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "syncd/core/PROTOCOL.md",
]
EXAMPLE_URL = "http://127.0.0.1:8484"


def section(number: int) -> str:
    """Return one section of PROTOCOL.md."""
    found = re.search(rf"^## {number}\. .*?(?=^## \d|\Z)", PROTOCOL, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[0]


def rows(text: str) -> dict[str, list[str]]:
    """Return the rows of a page's tables by their first cell, without the marks of code."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
            found[cells[0].strip("`")] = cells
    return found


def snippets(path: Path) -> list[str]:
    """Return the Python examples of a page."""
    return re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return what a link may name behind `#` on a page, as GitHub makes it."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("field", dataclasses.fields(Limits), ids=lambda field: field.name)
def test_every_limit_is_in_the_protocol(field: dataclasses.Field[Any]) -> None:
    """Section 8 names every limit with its default."""
    stated = rows(section(8))[field.name][1].split(" ")[0]

    assert float(stated) == field.default


def test_no_limit_is_made_up() -> None:
    """Section 8 names no limit that does not exist."""
    named = {name for name in rows(section(8)) if "_" in name}

    assert named == {field.name for field in dataclasses.fields(Limits)}


@pytest.mark.parametrize("code", CloseCode)
def test_every_close_code_is_in_the_protocol(code: CloseCode) -> None:
    """Section 6 has every close code's number, name, and whether to come back."""
    cells = rows(section(6))[str(int(code))]

    assert (cells[1], cells[2]) == (code.name, "yes" if code.retryable else "no")


@pytest.mark.parametrize("code", RejectCode)
def test_every_reject_code_is_in_the_protocol(code: RejectCode) -> None:
    """Section 7 has every reject code, and says which close the link instead."""
    assert (rows(section(7))[code][1] == "bytes") == (code in HOSTILE_CODES)


@pytest.mark.parametrize(("number", "kind"), [*_CLIENT_TYPES.items(), *_SERVER_TYPES.items()])
def test_every_frame_is_in_the_protocol(number: int, kind: type[Any]) -> None:
    """Section 3 has every frame with its number and its fields, named one by one, in the order of the wire."""
    found = re.search(
        rf"^#### {number} {kind.__name__}\n`([^`]*)`\n\n(.*?)(?=^###|\Z)", section(3), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    names = [field.name for field in dataclasses.fields(kind)]

    assert found[1] == f"[{', '.join([str(number), *names])}]"
    assert [name for name in names if f"`{name}`" not in found[2]] == []


def test_no_frame_is_made_up() -> None:
    """Section 3 has no frame that does not exist, and each under who sends it."""
    client, server = section(3).split("### What a server sends")

    assert {int(n) for n in re.findall(r"^#### (\d+)", client, re.MULTILINE)} == set(_CLIENT_TYPES)
    assert {int(n) for n in re.findall(r"^#### (\d+)", server, re.MULTILINE)} == set(_SERVER_TYPES)


@pytest.mark.parametrize("kind", EntryKind)
def test_every_entry_kind_is_in_the_protocol(kind: EntryKind) -> None:
    """Section 9 has every kind of log entry with its number."""
    assert rows(section(9))[str(int(kind))][1] == kind.name


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    """The server's page has every setting by its variable, with its default."""
    variable = "SYNCD_LIMITS__NAME" if name == "limits" else f"SYNCD_{name.upper()}"
    stated = rows(SERVER_PAGE)[variable][1].strip("`")
    default = Settings.model_fields[name].default
    shown = {
        "none": ("", "()", "None", "**********"),
        "empty": ("",),
        "false": ("False",),
        "true": ("True",),
        "see there": (str(default),),
    }

    if isinstance(default, float):
        assert float(stated) == default
    else:
        assert str(default) in shown.get(stated, (stated,))


def test_every_route_and_metric_is_documented() -> None:
    """The server's page has every route and every metric."""
    table = rows(SERVER_PAGE)

    assert [r.name for r in ROUTES if f"{r.method} {r.path}" not in table] == []
    assert [family.name for family in Metrics().registry.collect() if family.name not in SERVER_PAGE] == []


def test_every_test_named_in_the_threats_exists() -> None:
    """SECURITY.md names tests that are there."""
    named = re.findall(r"(tests/[\w/.]+)::(\w+)", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert named

    missing = [f"{path}::{test}" for path, test in named if f"def {test}(" not in (ROOT / path).read_text("utf-8")]

    assert missing == []


@pytest.mark.parametrize(("name", "command"), get_command(app).commands.items())  # type: ignore[attr-defined]
def test_every_command_is_documented(name: str, command: Any) -> None:
    """The terminal's page has every command, with every option."""
    page = (ROOT / "docs/terminal.md").read_text(encoding="utf-8")
    options = [option for param in command.params for option in param.opts if option.startswith("--")]

    assert [what for what in (f"`{name}`", *options) if what not in page] == []


def test_commands_of_make_exist() -> None:
    """What the pages tell to make can be made."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    told = {
        name for page in PAGES for name in re.findall(r"^make ([a-z]+)|`make ([a-z]+)", page.read_text(), re.MULTILINE)
    }

    assert {first or second for first, second in told} <= targets


def _links() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not target.startswith(("http://", "https://")):
                yield str(page.relative_to(ROOT)), target


@pytest.mark.parametrize(("page", "target"), list(_links()))
def test_links_between_documents_resolve(page: str, target: str) -> None:
    """A link names a file that is there, and a heading that is in it."""
    path, _, anchor = target.partition("#")
    file = ROOT / page if not path else (ROOT / page).parent / path

    assert file.is_file()
    assert not anchor or anchor in anchors(file)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server in development mode on a fresh store."""
    server = create_server(load(dev=True, port=0, store=tmp_path / "server.db", log_level="error"))
    await server.start()
    yield server
    await server.stop()


async def run_program(source: str, directory: Path) -> str:
    """Run an example as a program of its own; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", source, cwd=directory, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


async def test_the_readme_example_runs(server: Server, tmp_path: Path) -> None:
    """The README's example prints that its message is saved, then its place and its verified author."""
    example, _ = snippets(ROOT / "README.md")

    printed = await run_program(example.replace(EXAMPLE_URL, server.url), tmp_path)

    assert printed.splitlines() == ["saved on this disk: Where do we go?", "#1 by user:mona"]


async def test_the_readme_agent_runs(server: Server, tmp_path: Path) -> None:
    """The README's agent takes what addresses it, streams, waits until somebody allows its tool, and completes."""
    _, example = snippets(ROOT / "README.md")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", example.replace(EXAMPLE_URL, server.url), cwd=tmp_path
    )
    try:
        async with Client(server.url, token="dev:mona", store=tmp_path / "mona.db") as client, asyncio.timeout(30):
            session = await client.open("trip")
            await session.post("Where do we go?", to=["agent:planner"])
            await seen(session, lambda: [run.status for run in session.runs()] == ["suspended"])
            (call,) = [part for part in session.messages()[-1].parts if part["type"] == "tool"]
            await session.approve(str(call["tool_call"]))
            await seen(session, lambda: [run.status for run in session.runs()] == ["completed"])
    finally:
        process.kill()
        await process.wait()

    assert "".join(view.text for view in session.messages()[1:]).replace("\n\n", "") == "Take the tram. Booked."


async def seen(session: Session, condition: Callable[[], bool]) -> None:
    """Return when `condition` holds of a session."""
    async for _ in session.changes():
        if condition():
            return


async def test_the_clients_guide_runs(server: Server, tmp_path: Path) -> None:
    """Every snippet of the client's guide runs, one after the other: the first as a program, the others within it."""
    program, *steps = [code.replace(EXAMPLE_URL, server.url) for code in snippets(ROOT / "docs/client.md")]
    assert "1 messages, " in await run_program(program, tmp_path)

    async with Client(server.url, token="dev:mona", store=tmp_path / "mona.db") as client:
        session = await client.open("trip")
        names: dict[str, Any] = {"client": client, "session": session}
        for step in steps:
            code = compile(step, "docs/client.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            async with asyncio.timeout(PATIENCE_S):
                result = eval(code, names)
                if inspect.isawaitable(result):
                    await result

        assert session.messages()[-1].parts[-1]["url"] == "https://example.com/tram-28"
        assert str(session.state.text("notes")).startswith("She prefers")


def test_every_event_has_an_example() -> None:
    """The page of hooks has every type of event with an example of what it says, and no type that does not exist."""
    page = (ROOT / "docs/hooks.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"^\| `([a-z]+\.[a-z]+)` \|.*\| `(\{.*\})` \|$", page, re.MULTILINE))

    assert found.keys() == TYPES.keys()
    for name, example in found.items():
        said = json.loads(example)
        TYPES[name].model_validate(said)
        assert said.keys() <= TYPES[name].model_fields.keys(), name


def test_every_rule_of_the_pages_is_one() -> None:
    """What a page puts into the file of hooks, the server takes."""
    page = (ROOT / "docs/hooks.md").read_text(encoding="utf-8")
    files = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert files

    for text in files:
        hooks = tomllib.loads(text)["hooks"]
        assert HooksConfig.model_validate(hooks).model_dump(include={"rules", "targets"}) != {}


async def test_the_page_of_hooks_runs(tmp_path: Path) -> None:
    """Its program starts a server that tells functions, and stops it."""
    for program in snippets(ROOT / "docs/hooks.md"):
        await run_program(program, tmp_path)
