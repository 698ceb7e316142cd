"""What the protocol promises and bounds has a test: every promise, every limit, every close code, every reject code."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from syncd.core.errors import CloseCode, RejectCode
from syncd.core.limits import Limits

ROOT = Path(__file__).parent.parent
PROTOCOL = (ROOT / "syncd/core/PROTOCOL.md").read_text(encoding="utf-8")
PROMISES = re.findall(r"^Test: (\S+)::(\w+)$", PROTOCOL, re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Proof:
    """A test as it is written: what its name and its sentence say, and what its code mentions."""

    path: str
    name: str
    sentence: str
    #: Names of attributes and arguments, and strings; of the decorators, too.
    mentions: frozenset[str]
    #: `CloseCode` and `RejectCode` members that it asserts, or is parametrised with.
    codes: frozenset[str]


@cache
def proofs() -> tuple[Proof, ...]:
    """Return every test there is, this file's aside."""
    files = [path for path in ROOT.glob("tests/**/test_*.py") if path != Path(__file__)]
    return tuple(proof for path in files for proof in _proofs(path))


def _proofs(path: Path) -> Iterator[Proof]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            sentence = ast.get_docstring(node) or ""
            code = node.body[1:] if sentence else node.body
            checked = [*node.decorator_list, *(n for n in ast.walk(node) if _checks(n))]
            codes = frozenset(code for part in checked for code in _codes(part))
            mentions = frozenset(name for part in [*node.decorator_list, *code] for name in _names(part))
            yield Proof(path.relative_to(ROOT).as_posix(), node.name, sentence, mentions, codes)


def _checks(node: ast.AST) -> bool:
    """Whether this is an `assert`, or a call of a function such as `assert_refused`."""
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith("assert_")
    return called or isinstance(node, ast.Assert)


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _codes(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def test_each_of_the_five_promises_names_a_test() -> None:
    """A promise without a proof is a wish."""
    promises = re.findall(r"^\*\*(\d)\. [^*]+\.\*\*\s.*\nTest: ", PROTOCOL, re.MULTILINE)

    assert promises == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(("path", "name"), PROMISES)
def test_a_named_test_exists_and_has_a_sentence(path: str, name: str) -> None:
    """It is collected under that name, and its docstring is the promise."""
    found = [proof for proof in proofs() if (proof.path, proof.name) == (path, name)]

    assert len(found) == 1
    assert found[0].sentence


@pytest.mark.parametrize("field", dataclasses.fields(Limits), ids=lambda field: field.name)
def test_every_limit_has_a_test_that_names_it(field: "dataclasses.Field[object]") -> None:
    """The name or the sentence of some test says which limit it is about, and its code sets or reads that one."""
    named = re.compile(rf"(?<![a-z]){field.name}(?![a-z_])")
    found = [
        proof for proof in proofs() if field.name in proof.mentions and named.search(f"{proof.name} {proof.sentence}")
    ]

    assert found


@pytest.mark.parametrize("code", [*CloseCode, *RejectCode], ids=lambda code: code.name)
def test_every_code_is_produced_in_a_test(code: CloseCode | RejectCode) -> None:
    """Some test asserts it, or takes it as what must come out."""
    member = f"{type(code).__name__}.{code.name}"

    assert [proof for proof in proofs() if member in proof.codes]
