"""What is published: a wheel and an sdist that have the console in them, from which nobody needs Node any more."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.node import run_npm

ROOT = Path(__file__).parent.parent
PAGE = "syncd/static/index.html"


def build(place: Path, out: Path, *targets: str, npm: bool = True, **environment: str) -> Path:
    """Build targets of the project in `place`; return the last file. Fails with what was said."""
    env = {**os.environ, **environment}
    if not npm:
        env["PATH"] = str(Path(sys.executable).parent)
    arguments = [part for target in targets for part in ("--target", target)]
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(out), *arguments]
    ran = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=110)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return max(out.iterdir(), key=lambda file: file.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of this checkout."""
    run_npm("--version")  # Installs what the lock file says, once; skips without npm.
    return build(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in it."""
    place = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(place, filter="data")
    [folder] = place.iterdir()
    return folder


def test_the_sdist_has_the_console_and_its_sources(unpacked: Path) -> None:
    """Built pages, what they are built of, and no installed packages."""
    assert (unpacked / PAGE).is_file()
    assert list((unpacked / "syncd/static/assets").glob("*.js"))
    assert (unpacked / "web_client/package-lock.json").is_file()
    assert not list(unpacked.rglob("node_modules"))


def test_a_wheel_of_the_sdist_needs_no_node(unpacked: Path, tmp_path: Path) -> None:
    """It has the console, both packages, and nothing of the checkout beside them."""
    wheel = build(unpacked, tmp_path, "wheel", npm=False)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert PAGE in names
    assert [name for name in names if name.startswith("syncd/static/assets/") and name.endswith(".js")]
    assert [name for name in names if name.endswith(".wasm")]
    assert not [name for name in names if "sqlite3-" in name and ".js" in name], "helpers that nobody loads"
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"syncd", "syncd_client"}


def test_an_editable_install_needs_no_node(tmp_path: Path) -> None:
    """It serves what is built in the checkout, whenever that is."""
    assert build(ROOT, tmp_path, "wheel:editable", npm=False).suffix == ".whl"


def test_without_npm_a_checkout_says_what_is_missing(tmp_path: Path) -> None:
    """A package without its console is made only by those who ask for one."""
    with pytest.raises(AssertionError, match="needs npm, for the console"):
        build(ROOT, tmp_path, "wheel", npm=False)
    with zipfile.ZipFile(build(ROOT, tmp_path, "wheel", npm=False, SYNCD_WITHOUT_CONSOLE="1")) as archive:
        assert "syncd/server/console.py" in archive.namelist()
        assert PAGE not in archive.namelist()
