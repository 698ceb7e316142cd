"""A server in a process of its own, to be killed. Arguments: the store, and settings as JSON; prints its address."""

import asyncio
import json
import sys
from pathlib import Path

from syncd.server.app import create_server
from syncd.server.config import load
from syncd.server.logs import configure


async def main() -> int:
    settings = load(store=Path(sys.argv[1]), **json.loads(sys.argv[2]))
    server = create_server(settings)
    running = asyncio.create_task(server.run())
    while not running.done():
        try:
            print(server.url, flush=True)
            break
        except Exception:  # noqa: BLE001 - it has no port yet
            await asyncio.sleep(0.01)
    return await running


if __name__ == "__main__":
    configure("json", "warning")
    sys.exit(asyncio.run(main()))
