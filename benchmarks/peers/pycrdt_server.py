"""pycrdt-websocket, nothing stored: python pycrdt_server.py PORT. Run by the interpreter of its own environment."""

import asyncio
import sys

from hypercorn import Config
from hypercorn.asyncio import serve
from pycrdt.websocket import ASGIServer, WebsocketServer


async def main(port: int) -> None:
    """Serve until killed."""
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    async with WebsocketServer() as rooms:
        await serve(ASGIServer(rooms), config, mode="asgi")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
