"""A client in a process of its own, to be killed. Arguments: address, token, store, prefix; prints each saved post."""

import asyncio
import logging
import sys

import structlog
from syncd_client import Client


async def main() -> None:
    url, token, store, prefix = sys.argv[1:]
    async with Client(url, token=token, store=store) as client:
        session = await client.open("s")
        number = 0
        while True:
            await session.post(f"{prefix}-{number}")
            print(f"{prefix}-{number}", flush=True)
            number += 1


structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
asyncio.run(main())
