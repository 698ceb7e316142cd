"""Device: the client with this device's local copies, as the terminal's commands use it.

Knows which store belongs to whom. What is done with a session is the commands'.
"""

from __future__ import annotations

from pathlib import Path

from syncd.cli.options import Access, local_store
from syncd_client import Client


def make_client(to: Access, store: Path | None) -> Client:
    """Return a client over the store named, or the one of this server and person. Use it as `async with`.

    Raises:
        Trouble: the token or the store's directory cannot be used.
    """
    # Asked of a client that is never opened: who the token claims to be decides which store is theirs.
    subject = Client(to.url, token=to.read()).subject
    client = Client(to.url, token=to.source(), store=local_store(store, to.url, subject))
    client.subject = subject
    return client
