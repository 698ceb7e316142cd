"""The routes for whoever watches the server or comes to it fresh: is it up, can it serve, what did it count."""

from aiohttp import web

import syncd
from syncd.server.http import RETRY_AFTER_S, ApiError
from syncd.server.rest.models import ConsoleAnswer, Status
from syncd.server.rest.route import Call, reply


async def healthz(call: Call) -> web.Response:
    """Say that the process is up."""
    return reply(Status(status="up"))


async def readyz(call: Call) -> web.Response:
    """Say whether the server can take and keep what it is sent."""
    if call.services.lifecycle.draining:
        raise ApiError("draining", retry_after_s=RETRY_AFTER_S)
    if not call.services.lifecycle.started:
        raise ApiError("not_ready", "the store is not open", retry_after_s=RETRY_AFTER_S)
    if call.services.sessions.storage_full:
        # 503 and not 507: those who probe readiness know this one.
        raise ApiError("not_ready", "the storage is full", "Make space; it recovers by itself.")
    return reply(Status(status="ready"))


async def metrics(call: Call) -> web.Response:
    """Return the page for Prometheus."""
    page, content_type = call.services.metrics.render()
    return web.Response(body=page, headers={"Content-Type": content_type})


async def console(call: Call) -> web.Response:
    """Say what the console has to know before anybody has signed in."""
    here, hooks = call.services.console, call.services.hooks
    push = call.services.devices is not None and hooks is not None and hooks.tells("push")
    return reply(ConsoleAnswer(dev=here.dev, demo=here.demo, version=syncd.__version__, push=push))
