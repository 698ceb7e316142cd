"""Apprise: notices to whatever Apprise speaks, mail and chat services among them, by URLs of the operator.

Apprise is an extra, `syncd[apprise]`; this is the one module that imports it, when the first target is set up. Knows
nothing of rules.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from syncd.server.hooks.channel import Gone, Notice, Result, Retry, Sent

TIMEOUT_S: Final = 30.0
#: Apprise blocks. Threads of its own, so that services that hang hold up nothing but each other.
_THREADS: Final = 8
_TEXT_CHARS_MAX: Final = 4_000


class BadTarget(ValueError):
    """A target is none that Apprise knows. The message has its name, and never its URL, which holds secrets."""


class AppriseChannel:
    """Notices to the URLs of `targets`, by name.

    1. A target is the operator's: nobody else says where to, and no URL is in a log, an answer or a notice.
    2. A call ends in `timeout_s`. Whether what was under way arrived nobody knows then, and it is tried again.

    For people the name is their subject, such as `user:mona`. `public_url` is where the console is opened, for links;
    empty for none.
    """

    def __init__(self, targets: Mapping[str, str], *, public_url: str = "", timeout_s: float = TIMEOUT_S) -> None:
        """
        Raises:
            BadTarget: Apprise is not installed, or does not know what one of the URLs is.
        """
        self._services = {name: _service(name, url) for name, url in targets.items()}
        self._public_url = public_url.rstrip("/")
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="apprise")

    async def send(self, notice: Notice) -> Result:
        """See `Channel.send`."""
        service = self._services.get(notice.target)
        if service is None:
            return Gone("no Apprise URL has this name")
        text = notice.text if len(notice.text) <= _TEXT_CHARS_MAX else notice.text[:_TEXT_CHARS_MAX] + "…"
        link = self._public_url + notice.path if self._public_url and notice.path else ""
        body = "\n\n".join(part for part in (text, link) if part)
        sending = asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: service.notify(body=body or notice.title, title=notice.title, body_format="text")
        )
        try:
            async with asyncio.timeout(self._timeout_s):  # Invariant 2.
                sent = await sending
        except TimeoutError:
            return Retry(None, f"the service did not answer within {self._timeout_s:g} s")
        return Sent() if sent else Retry(None, "the service refused it, or was not reached; the log of apprise has why")

    async def withdraw(self, notice: Notice) -> None:
        """See `Channel.withdraw`. A mail cannot be taken back."""

    async def close(self) -> None:
        """Take no more. What is under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _service(name: str, url: str) -> Any:
    try:
        import apprise
    except ImportError:
        raise BadTarget(f"target {name}: Apprise is missing; pip install 'syncd[apprise]'") from None
    # One after the other in our thread, and nothing kept on disk.
    asset = apprise.AppriseAsset(app_id="syncd", app_desc="syncd", async_mode=False)
    service = apprise.Apprise(asset=asset)
    found = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if found is None:
        raise BadTarget(f"target {name}: this is no URL that Apprise knows")  # Invariant 1.
    service.add(found)
    return service
