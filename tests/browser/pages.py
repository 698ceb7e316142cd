"""Pages: what the server shows in these tests, built from the checkout.

The console is what people get. Bare pages, one for each `page/NAME.ts`, have nothing but that script, to try the
library alone: they are at `/NAME.html`, of the server's own origin and under its policy.
"""

from pathlib import Path

from syncd.server.console import BUILT
from tests.node import WEB_CLIENT, run_npm

_PAGES = Path(__file__).parent / "page"


def build_bare_pages(folder: Path) -> None:
    """Build all bare pages into `folder`; skip the test without npm."""
    run_npm("exec", "--", "vite", "build", "--config", str(_PAGES / "vite.config.mjs"), "--outDir", str(folder))
    for script in _PAGES.glob("*.ts"):
        name = script.stem
        html = f'<!doctype html><meta charset="utf-8"><title>{name}</title>\n'
        html += f'<script type="module" src="/assets/{name}.js"></script>\n'
        (folder / f"{name}.html").write_text(html, encoding="utf-8")


def build_console() -> Path:
    """Build the console where it is missing or older than its sources; return its folder. Skip the test without npm."""
    sources = [path for part in ("app", "src") for path in (WEB_CLIENT / part).rglob("*") if path.is_file()]
    newest = max(path.stat().st_mtime for path in [*sources, WEB_CLIENT / "package-lock.json"])
    # The second is what the build says of its parts, to be measured.
    built = (BUILT / "index.html", WEB_CLIENT / "build" / "console.json")
    if not all(path.exists() and path.stat().st_mtime >= newest for path in built):
        run_npm("run", "build:app")
    return BUILT
