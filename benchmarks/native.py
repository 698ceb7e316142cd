"""Native: the two small C programs, compiled when they are first needed, where there is a compiler.

Knows nothing of what they are for.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

_SOURCES = Path(__file__).parent
_BUILT = _SOURCES.parent / "build" / "benchmarks"


@functools.cache
def program(name: str) -> Path | None:
    """Return where the program made of `NAME.c` is, None without a compiler.

    Raises:
        RuntimeError: it does not compile.
    """
    source, built = _SOURCES / f"{name}.c", _BUILT / name
    if built.exists() and built.stat().st_mtime >= source.stat().st_mtime:
        return built
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    _BUILT.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-O2", "-D_GNU_SOURCE", "-o", str(built), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{source.name} does not compile: {done.stderr}")
    return built
