"""Imports point one way, and what is impure or heavy is imported where it belongs."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("syncd/**/*.py"), *ROOT.glob("client_py/**/*.py")])

#: Who may import whom, beside itself.
_ALLOWED = {
    "syncd.core": {"syncd.core"},
    "syncd.store": {"syncd.core", "syncd.store"},
    "syncd.server": {"syncd.core", "syncd.store", "syncd.server"},
    "syncd.cli": {"syncd.core", "syncd.store", "syncd.server", "syncd.cli", "syncd_client"},
    "syncd_client": {"syncd.core", "syncd.store", "syncd_client"},
}
#: Modules of the standard library that bring no clock, chance, file, socket or thread.
_PURE = {
    "__future__", "array", "base64", "binascii", "bisect", "collections", "dataclasses", "enum", "functools", "hashlib",
    "heapq", "itertools", "json", "math", "operator", "re", "string", "struct", "sys", "typing", "zlib",
}  # fmt: skip
#: Packages that only these files or folders may import.
_ONLY = {
    "msgpack": ("syncd/core/codec.py",),
    "pycrdt": ("syncd/core/replica.py",),
    "pydantic": (
        "syncd/server/config.py",
        "syncd/server/problems.py",
        "syncd/server/rest/",
        "syncd/server/openapi.py",
        "syncd/server/hooks/",
    ),
    "pydantic_settings": ("syncd/server/config.py",),
    "aiosqlite": ("syncd/store/sqlite.py",),
    "aiohttp": ("syncd/server/", "client_py/syncd_client/transport.py"),
    "jwt": ("syncd/server/auth.py", "syncd/server/hooks/channels/vapid.py"),
    "cryptography": ("syncd/server/hooks/channels/", "syncd/server/auth.py"),
    "apprise": ("syncd/server/hooks/channels/apprise.py",),
    "typer": ("syncd/cli/",),
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removeprefix("client_py.").removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Return the full names of all that a file imports, under `TYPE_CHECKING` and inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


def part_of(name: str) -> str | None:
    return next((part for part in _ALLOWED if name == part or name.startswith(part + ".")), None)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_one_way(path: Path) -> None:
    """core ← store ← server; core and store ← client; the terminal alone knows both sides."""
    here = part_of(module_name(path))
    if here is None:
        assert module_name(path) in ("syncd", "syncd.__main__")
        return
    for name in imports(path):
        there = part_of(name)
        assert there is None or there in _ALLOWED[here], f"{module_name(path)} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_packages_are_imported_where_they_belong(path: Path) -> None:
    """Each library has one door."""
    where = path.relative_to(ROOT).as_posix()
    for name in imports(path):
        doors = _ONLY.get(name.partition(".")[0])
        if doors and not where.startswith("syncd/cli/"):
            assert any(where == door or (door.endswith("/") and where.startswith(door)) for door in doors), name


@pytest.mark.parametrize("path", [p for p in FILES if module_name(p).startswith("syncd.core")], ids=module_name)
def test_the_core_is_pure(path: Path) -> None:
    """No clock, no chance, no files, no sockets, no tasks: time, randomness and bytes come in as arguments."""
    for name in imports(path):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names:
            assert top in _PURE, f"{module_name(path)} imports {name}"
        else:
            assert top in ("syncd", "msgpack", "pycrdt"), f"{module_name(path)} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_every_module_says_what_it_holds(path: Path) -> None:
    """The first thing in a file is a sentence about it."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
