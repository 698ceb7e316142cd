"""Device: the client with this device's local copies, as the terminal's commands use it.

Knows which store belongs to whom. What is done with a session is the commands'.
"""

from __future__ import annotations

from pathlib import Path

from syncd_client import Client

from syncd.cli.options import Access, local_store


def make_client(to: Access, store: Path | None) -> tuple[Client, Path]:
    """Return a client over the store named, or the one of this server and person, and its path. Use it as `async with`.

    Raises:
        Trouble: the token or the store's directory cannot be used.
    """
    # Asked of a client that is never opened: who the token claims to be decides which store is theirs.
    subject = Client(to.url, token=to.read()).subject
    path = local_store(store, to.url, subject)
    client = Client(to.url, token=to.source(), store=path)
    client.subject = subject
    return client, path
