"""The console's pages as files that are served: which, with what headers, and which never."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import syncd
from syncd.server.console import Console
from tests.raw_socket import RawSocket
from tests.server.fakes import Running, running

INDEX = b"<!doctype html><title>console</title>"
FILES = {
    "index.html": INDEX,
    "sw.js": b"self;",
    "manifest.webmanifest": b"{}",
    "icon.svg": b"<svg/>",
    "icon-192.png": b"\x89PNG",
    "assets/index-B1gK.js": b"export {};",
    "assets/index-B1gK.css": b"a {}",
    "assets/sqlite3.wasm": b"\0asm",
    # Never served: what no page of ours has.
    "assets/.hidden.js": b"no",
    ".env": b"no",
    "notes.md": b"no",
    "assets/deep/x.js": b"no",
}
YEAR = "public, max-age=31536000, immutable"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A built console, and beside it what nobody may read."""
    built = tmp_path / "built"
    for name, data in FILES.items():
        (built / name).parent.mkdir(parents=True, exist_ok=True)
        (built / name).write_bytes(data)
    (tmp_path / "secret.js").write_bytes(b"no")
    return built


@pytest.fixture
async def http(tmp_path: Path, folder: Path) -> AsyncIterator[Running]:
    """A server that has it."""
    async with running(tmp_path, console=folder) as here:
        yield here


@pytest.mark.parametrize("path", ["/", "/s/trip", "/s/trip/", "/s/whatever%20it%20is"])
async def test_the_page_is_the_same_everywhere_and_asked_for_again(http: Running, path: str) -> None:
    """What it shows is for its script to say; an update is seen at the next visit."""
    reply = await http.call("GET", path, token=None)

    assert (reply.status, reply.raw) == (200, INDEX)
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("path", "content_type", "cache"),
    [
        ("/sw.js", "text/javascript; charset=utf-8", "no-cache"),
        ("/manifest.webmanifest", "application/manifest+json", "no-cache"),
        ("/icon.svg", "image/svg+xml", "no-cache"),
        ("/icon-192.png", "image/png", "no-cache"),
        ("/assets/index-B1gK.js", "text/javascript; charset=utf-8", YEAR),
        ("/assets/index-B1gK.css", "text/css; charset=utf-8", YEAR),
        ("/assets/sqlite3.wasm", "application/wasm", YEAR),
    ],
)
async def test_files_go_out_as_what_they_are(http: Running, path: str, content_type: str, cache: str) -> None:
    """By their ending, with no guess left to the browser; what has a hash in its name is kept for a year."""
    reply = await http.call("GET", path, token=None)

    assert (reply.status, reply.raw) == (200, FILES[path[1:]])
    assert reply.headers["Content-Type"] == content_type
    assert reply.headers["Cache-Control"] == cache
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/s/trip", "/sw.js", "/assets/index-B1gK.js", "/assets/sqlite3.wasm"])
async def test_every_file_has_the_strict_policy(http: Running, path: str) -> None:
    """Nothing from elsewhere, nothing inline, no string that becomes code; WebAssembly in a worker's script alone."""
    policy = (await http.call("GET", path, token=None)).headers["Content-Security-Policy"]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))

    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["form-action"] == rules["base-uri"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    assert rules["script-src"] == ("'self' 'wasm-unsafe-eval'" if path.startswith("/assets/") else "'self'")


@pytest.mark.parametrize(
    "path",
    [
        "/secret.js",
        "/../secret.js",
        "/%2e%2e/secret.js",
        "/%2e%2e%2fsecret.js",
        "/..%2fsecret.js",
        "/..%5csecret.js",
        "/assets/../../secret.js",
        "/assets/..%2f..%2fsecret.js",
        "/assets/%2e%2e%2f%2e%2e%2fsecret.js",
        "/assets/..%252f..%252fsecret.js",
        "/assets/....//....//secret.js",
        "/assets/%2fetc%2fpasswd",
        "//etc/passwd",
        "/assets/index-B1gK.js%00.css",
        "/assets/%00",
        "/assets/.hidden.js",
        "/assets/deep/x.js",
        "/assets/deep%2fx.js",
        "/assets/deep",
        "/assets/",
        "/assets",
        "/.env",
        "/notes.md",
        "/absent.js",
        "/assets/absent.js",
        "/assets/index-B1gK.js/",
        "/s/a/b",
        "/index.html.",
    ],
)
async def test_nothing_else_is_served(http: Running, path: str) -> None:
    """No way out of the folder in any spelling, no hidden files, no endings that no page has, no folders."""
    async with RawSocket(http.server.port) as raw:
        await raw.send(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = await raw.reader.read()

    assert answer.split(b" ", 2)[1] == b"404"
    assert b"immutable" not in answer
    assert not answer.endswith(b"no")


@pytest.mark.parametrize("path", ["/", "/s/trip", "/assets/index-B1gK.js", "/sw.js", "/v1/console"])
async def test_host_and_origin_hold_for_pages_too(http: Running, path: str) -> None:
    """A name that was made to point here gets nothing (DNS rebinding), and no foreign page's script reads one."""
    rebound = await http.call("GET", path, token=None, headers={"Host": "evil.example"})
    foreign = await http.call("GET", path, token=None, headers={"Origin": "https://evil.example"})
    embedded = await http.call(
        "GET", path, token=None, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    )

    assert (rebound.status, rebound.code) == (403, "bad_host")
    assert (foreign.status, foreign.code) == (403, "bad_origin")
    assert (embedded.status, embedded.code) == (403, "bad_origin")


async def test_a_link_from_another_page_leads_here(http: Running) -> None:
    """Who follows a link, in a mail or on another site, arrives."""
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "User-Agent": "Mozilla/5.0"}
    reply = await http.call("GET", "/s/trip", token=None, headers=followed)

    assert reply.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_pages_are_read_only(http: Running, method: str) -> None:
    """Other methods are told so."""
    reply = await http.call(method, "/", token=None)

    assert (reply.status, reply.code) == (405, "method_not_allowed")


async def test_a_packed_file_is_sent_to_those_who_unpack(http: Running, folder: Path) -> None:
    """Where the build left one beside it; everybody else gets the plain one."""
    script = "assets/index-B1gK.js"
    (folder / f"{script}.gz").write_bytes(gzip.compress(FILES[script]))
    packed = await http.call("GET", f"/{script}", token=None, headers={"Accept-Encoding": "br, gzip"})
    plain = await http.call("GET", f"/{script}", token=None, headers={"Accept-Encoding": "identity"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Content-Type"] == plain.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert packed.raw == plain.raw == FILES[script]
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in plain.headers


async def test_without_a_build_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    """In words, for people, with the commands; a build that is there a moment later is served without a restart."""
    built = tmp_path / "later"
    async with running(tmp_path, console=built) as http:
        before = await http.call("GET", "/s/trip", token=None)
        api = await http.call("GET", "/readyz", token=None)
        built.mkdir()
        (built / "index.html").write_bytes(INDEX)
        after = await http.call("GET", "/s/trip", token=None)

    assert (before.status, after.status, api.status) == (503, 200, 200)
    assert before.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"npm ci &amp;&amp; npm run build:app" in before.raw
    assert b"make run" in before.raw
    assert b"<script" not in before.raw


@pytest.mark.parametrize("dev", [True, False])
async def test_the_console_is_told_how_to_sign_in(tmp_path: Path, dev: bool) -> None:
    """Without a token, since it is asked before there is one: whether a name is enough, and where to begin."""
    async with running(tmp_path, dev=dev) as http:
        reply = await http.call("GET", "/v1/console", token=None)

    assert reply.json == {"dev": dev, "demo": None, "version": syncd.__version__, "push": False}


def test_built_says_whether_there_is_a_page(folder: Path, tmp_path: Path) -> None:
    """For who starts the server."""
    assert Console(folder).built
    assert not Console(tmp_path).built
