"""A long session, as a file that a server imports: written in a second, where a person would take an hour."""

import base64
import io
import json
from typing import Any, Final

import aiohttp

from syncd.core.messages import Layer
from syncd.core.replica import Replica
from syncd.core.schema import NewMessage, Root, text_part
from syncd.core.transcript import put_message
from syncd.core.update import Kind, encode_map_entries
from syncd.server.records import EXPORT_FORMAT
from tests.e2e.stories.stage import SESSION
from tests.harness import mint

#: What a server has to be told so that it takes one.
IMPORT_LIMITS: Final = {"body_bytes_max": 64 << 20}

_AUTHOR, _CLIENT, _SERVER_CLIENT = "user:mona", 7_001, 7_002
_BEGIN_MS = 1_700_000_000_000
_APART_MS = 60_000
_RIGHTS = ("transcript", "state", "presence", "command", "admin")


def export_of(count: int) -> dict[str, Any]:
    """Return the export of a session of `count` messages, `message 1 of many` and so on, a minute between two."""
    replica = Replica({Root.MESSAGES: Kind.MAP, Root.RECEIPTS: Kind.MAP}, client_id=_CLIENT)
    receipts: list[tuple[str, Any]] = [("schema", {"version": 1, "at": _BEGIN_MS})]
    for number in range(1, count + 1):
        at = _BEGIN_MS + number * _APART_MS
        message = NewMessage(
            id=f"m-{number:08}",
            role="user",
            author={"kind": "user", "name": "mona"},
            parts=(text_part(f"message {number} of many, a line of usual length with nothing new in it."),),
            created_at=at,
        )
        put_message(replica, message)
        receipts.append((f"m:{message.id}", {"by": _AUTHOR, "seq": number, "at": at}))
    replica.apply([encode_map_entries(_SERVER_CLIENT, 0, Root.RECEIPTS, receipts)])
    return {
        "format": EXPORT_FORMAT,
        "session": SESSION,
        "seq": count,
        "documents": {Layer.TRANSCRIPT.value: base64.b64encode(replica.diff()).decode()},
        "authors": {_AUTHOR: [_CLIENT], "server:": [_SERVER_CLIENT]},
        "roots": {},
    }


async def import_messages(url: str, count: int) -> None:
    """Have the server at `url` import it."""
    headers = {"Authorization": f"Bearer {mint(_AUTHOR, _RIGHTS)}", "Content-Type": "application/json"}
    body = io.BytesIO(json.dumps(export_of(count)).encode())
    async with (
        aiohttp.ClientSession() as http,
        http.post(url + "/v1/sessions/import", data=body, headers=headers) as response,
    ):
        assert response.status == 201, await response.text()
