"""Exports under attack: the file from which REST makes a session.

Knows nothing of HTTP.
"""

import asyncio
import base64
import json
from dataclasses import replace
from random import Random
from typing import Any, Final

from syncd.core.errors import Rejected
from syncd.core.grant import ALL_RIGHTS, Grant
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import LAYERS, Layer, Open, Push
from syncd.core.update import EMPTY_UPDATE
from syncd.server.metrics import Metrics
from syncd.server.records import Records
from syncd.server.sessions import Sessions
from syncd.store.memory import MemorySessionLog
from tests.core.machines import Pen
from tests.fuzz.mutate import mutate
from tests.fuzz.target import ACCEPTED
from tests.fuzz.updates import honest
from tests.server.test_sessions import Box

ADMIN: Final = Grant("user:root", "root", "user", (("*", ALL_RIGHTS),))
#: What a field is changed to, as JSON.
_ODD: Final = (
    "null", "true", "[]", "{}", '""', "NaN", "-1", "1e400", "9" * 400, '"\\ud800"', '{"\\ud800": 1}', '{"x": 3}',
    '{"x": 6}', '{"note": 0}', '{"board": 2}', '{"\\ud800": [1]}', '{"user:a": [1.5]}', '{"user:a": [true]}',
    '{"server:": [1]}', '{"": [9007199254740991]}', '{"user:a": [[1]]}', '{"user:a": "123"}', '{"user:a": {"1": 2}}',
    '{"transcript": 5}', '{"state": "AAA="}', '{"transcript": "AAA=\\n"}', '"../x"', "[" * 900 + "]" * 900, "1.9",
    '{"__proto__": 1}', '{"x": true}', '{"x": 1.0}', '{"x": "1"}', '"7"', "9007199254740991", "18446744073709551616",
)  # fmt: skip


class ExportsTarget:
    """Files to be imported. What is taken opens, reads, is written on, exports, and imports again as it was."""

    def __init__(self, rng: Random) -> None:
        self._runner = asyncio.Runner()
        self._log = MemorySessionLog()
        limits = replace(DEFAULT_LIMITS, commit_pause_s=0.0)
        self._records = Records(Sessions(self._log, limits, Metrics()))
        self._runner.run(self._open())
        documents = {layer: honest(layer, 5, 12) for layer in Layer}
        self._fields = {
            "format": '"syncd.session.v1"',
            "session": '"copy"',
            "seq": "3",
            "documents": "",
            "authors": json.dumps({f"user:{n}": [id] for n, id in enumerate(documents[Layer.TRANSCRIPT][1])}),
            "roots": json.dumps({"board": 1, "list": 0, "note": 2, "page": 4}),
        }
        self._updates = {layer: updates for layer, (updates, _) in documents.items()}
        self._session = ""

    async def _open(self) -> None:
        await self._log.open()
        await self._records.start()

    def draw(self, rng: Random) -> bytes:
        documents = {}
        for layer in LAYERS:
            update = self._updates[layer][0] if rng.random() < 0.7 else EMPTY_UPDATE
            if rng.random() < 0.4:
                update = mutate(update, rng, self._updates[layer])
            documents[layer] = base64.b64encode(update).decode()
        fields = self._fields | {"documents": json.dumps(documents)}
        if rng.random() < 0.6:
            fields[rng.choice([*fields])] = rng.choice(_ODD)
        text = "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"
        return mutate(text.encode(), rng, [b"{}"]) if rng.random() < 0.1 else text.encode()

    def feed(self, data: bytes) -> str:
        try:
            self._session = self._runner.run(self._records.import_(data, ADMIN)).session
        except Rejected as refusal:
            return refusal.code
        except FileExistsError:
            return "exists"
        return ACCEPTED

    def check(self) -> None:
        self._runner.run(self._use(self._session))

    async def _use(self, session: str) -> None:
        records = self._records
        before = await records.read(session)
        outlet = Box()
        sessions = records._sessions
        await sessions.attach("reader", outlet, ADMIN, Open(session, {}), device="d")
        await sessions.settle()
        assert not outlet.dropped, outlet.dropped
        assert outlet.got
        pen = Pen()
        sessions.receive(session, "reader", Push(session, Layer.STATE, 1, pen.set("k", 1, root="new root")))
        posted = await records.post(session, ADMIN, text="on")
        assert posted["seq"] == before["seq"] + 1
        file = await records.export(session, "json")
        await records.export(session, "markdown")
        after = await records.read(session)
        assert not outlet.dropped, outlet.dropped
        await records.delete(session)
        other: dict[str, Any] = json.loads(file) | {"session": session[:-1] + ("0" if session[-1] != "0" else "1")}
        again = await records.import_(json.dumps(other).encode(), ADMIN)
        copied = await records.read(again.session)
        assert {**copied, "session": "", "incarnation": ""} == {**after, "session": "", "incarnation": ""}
        await records.delete(again.session)

    def finish(self) -> None:
        self._runner.run(self._records.stop())
        self._runner.close()
