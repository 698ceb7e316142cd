"""Console: the pages that a browser is shown, as they were built into one flat folder.

Knows names of files and the headers they go out with. Knows nothing of sessions or tokens: a page gets at those over
the REST routes and the link, like every other client. `http.guard` has checked Host and Origin before anything here.
"""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

#: Where `npm run build:app` puts it, and where the wheel has it.
BUILT = Path(__file__).parent.parent / "static"

#: What a page may do. Scripts and styles from files of this server alone, none in the markup; connections to this
#: server alone; no string is ever turned into code or markup.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
#: The same for the scripts of workers, which go by the policy their own file came with, and may compile WebAssembly
#: besides: SQLite, for searching offline, is that, and `script-src 'self'` alone refuses it. A page may not.
_SCRIPT_POLICY = _PAGE_POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")

#: By the ending of a file. What ends otherwise is not served: what a browser makes of it would be its own guess.
_CONTENT_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "wasm": "application/wasm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff2": "font/woff2",
}
#: One segment, which begins with neither a dot nor a dash and has no separator of any system: it leads nowhere else.
_NAME_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")

_NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>syncd: the console is not built</title>
<h1>The console is not built</h1>
<p>The server is up: clients, agents and <code>syncd chat</code> can use it. What is missing are the pages for browsers.
<p>In a checkout of syncd, with Node 20.19 or newer:
<pre>
cd web_client
npm ci &amp;&amp; npm run build:app
</pre>
<p>or <code>make run</code>, which does that first. Then reload this page; the server need not be started again.
<p>A released package of syncd has the console in it.
"""


@dataclass(frozen=True, slots=True)
class Console:
    """The folder of the built console, and what its pages are told about this server.

    1. Only files right in `folder` or in its `assets` are served, by names without any separator.
    2. A file in `assets` has a hash in its name, so it is good for ever; everything else is asked for again each time.

    `demo` is the session that shows something, None if there is none. The folder is looked at for each request, so a
    console that is built while the server runs is served.
    """

    folder: Path = BUILT
    dev: bool = False
    demo: str | None = None

    @property
    def built(self) -> bool:
        """Whether there is a console."""
        return (self.folder / "index.html").is_file()

    def add_pages(self, app: web.Application) -> None:
        """Serve the pages. Call it after all other routes were added: it takes every name that is left."""
        app.router.add_get("/", self._index, name="consoleIndex")
        app.router.add_get("/s/{session}", self._index, name="consoleSession")
        app.router.add_get("/s/{session}/", self._index, name="consoleSessionSlash")
        app.router.add_get("/assets/{name}", self._asset, name="consoleAsset")
        app.router.add_get("/{name}", self._file, name="consoleFile")

    async def _index(self, request: web.Request) -> web.StreamResponse:
        """Return the one page there is, whatever it is to show."""
        try:
            return await self._answer(request, "index.html", "no-cache", _PAGE_POLICY)
        except web.HTTPNotFound:
            return web.Response(text=_NOT_BUILT, status=503, content_type="text/html")

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        name = _checked(request.match_info["name"])
        # Invariant 2.
        return await self._answer(request, f"assets/{name}", "public, max-age=31536000, immutable", _SCRIPT_POLICY)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, _checked(request.match_info["name"]), "no-cache", _PAGE_POLICY)

    async def _answer(self, request: web.Request, path: str, cache: str, policy: str) -> web.Response:
        headers = {
            "Content-Type": _CONTENT_TYPES[path.rpartition(".")[2]],
            "Cache-Control": cache,
            "Content-Security-Policy": policy,
            "Vary": "Accept-Encoding",
        }
        # The build put a compressed one beside each file that gains by it.
        packed = "gzip" in request.headers.get("Accept-Encoding", "").lower()
        data = await asyncio.to_thread(_read, self.folder / f"{path}.gz") if packed else None
        if data is not None:
            headers["Content-Encoding"] = "gzip"
        else:
            data = await asyncio.to_thread(_read, self.folder / path)
        if data is None:
            raise web.HTTPNotFound
        return web.Response(body=data, headers=headers)


def _checked(name: str) -> str:
    """Return a name from a request's path as it is, now known to be one of a file that may be served."""
    if not _NAME_PATTERN.match(name) or name.rpartition(".")[2] not in _CONTENT_TYPES:  # Invariant 1.
        raise web.HTTPNotFound
    return name


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
