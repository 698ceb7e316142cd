"""Every promise in the protocol names a test that exists, and says what it is."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROTOCOL = (ROOT / "syncd/core/PROTOCOL.md").read_text(encoding="utf-8")
NAMED = re.findall(r"^Test: (\S+)::(\w+)$", PROTOCOL, re.MULTILINE)


def test_each_of_the_five_promises_names_a_test() -> None:
    """A promise without a proof is a wish."""
    promises = re.findall(r"^\*\*(\d)\. [^*]+\.\*\*", PROTOCOL, re.MULTILINE)
    assert promises == ["1", "2", "3", "4", "5"]
    assert len(NAMED) >= 5


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_named_test_exists_and_has_a_sentence(path: str, name: str) -> None:
    """It is collected under that name, and its docstring is the promise."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == name]
    assert len(found) == 1
    assert ast.get_docstring(found[0])
