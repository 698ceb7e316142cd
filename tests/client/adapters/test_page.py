"""The page on adapters: what it shows runs, and what it names is there."""

import ast
import inspect
import re
from typing import Any

import pytest
from syncd_client import adapters
from syncd_client.adapters.pieces import PIECES

from tests.harness import ROOT

PAGE = (ROOT / "docs/adapters.md").read_text(encoding="utf-8")


async def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that need no library print what the page says; the others are Python."""
    for example in re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        names: dict[str, Any] = {}
        made = eval(compile(example, "docs/adapters.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.isawaitable(made):
            await made
    for example in re.findall(r"^```py\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        compile(example, "docs/adapters.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    printed = capsys.readouterr().out
    assert "Text(delta='Take ')\nText(delta='the tram.')\n" in printed
    assert "'tool_call_id': 't1'" in printed


def test_every_piece_and_public_name_is_on_the_page() -> None:
    """The page has every piece with its fields, and every name of the package."""
    said = {piece.__name__: re.search(rf"`{piece.__name__}\((.*?)\)`", PAGE) for piece in PIECES}

    assert [name for name, found in said.items() if found is None] == []
    fields = {piece.__name__: list(inspect.signature(piece).parameters) for piece in PIECES}
    shown = {name: found[1].split(", ") if found[1] else [] for name, found in said.items() if found}
    assert {name: [each for each in shown[name] if each != "…"] for name in shown} == {
        name: fields[name][: len(shown[name]) - ("…" in shown[name])] for name in shown
    }
    assert [name for name in adapters.__all__ if name not in ("Piece", "Pieces") and f"{name}" not in PAGE] == []
