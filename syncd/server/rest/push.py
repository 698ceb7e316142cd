"""The routes of push: what browsers subscribe with, and the devices of whoever asks, theirs alone."""

from aiohttp import web

from syncd.server.hooks.devices import BadSubscription, Devices, service_of
from syncd.server.http import ApiError
from syncd.server.rest.push_models import DeviceAnswer, DevicesAnswer, KeyAnswer, PutSubscription
from syncd.server.rest.route import Call, reply
from syncd.store.subscriptions import EndpointTaken


async def key(call: Call) -> web.Response:
    """Return the key that a browser subscribes with: `applicationServerKey` of `PushManager.subscribe`."""
    return reply(KeyAnswer(key=_devices(call).public_key))


async def list_(call: Call) -> web.Response:
    """List the devices on which you are told what you were not there for, the last used first."""
    found = await _devices(call).of(call.grant.subject)
    return reply(
        DevicesAnswer(
            devices=[
                DeviceAnswer(
                    device=one.device, name=one.name, service=service_of(one), since=one.since_ms, used=one.used_at_ms
                )
                for one in found
            ]
        )
    )


async def put(call: Call) -> web.Response:
    """Be told on this device from now on, of the sessions that the token names.

    Sent again each time the device is used: the last used one is told first, and one that is not used for 60 days is
    told nothing more. A browser that somebody else used before tells them nothing more.
    """
    body = call.body(PutSubscription)
    try:
        await _devices(call).register(
            call.grant,
            call.request.match_info["device"],
            endpoint=body.endpoint,
            p256dh=body.keys.p256dh,
            auth=body.keys.auth,
            name=body.name,
        )
    except BadSubscription as error:
        raise ApiError("invalid", str(error), "Send what `PushSubscription.toJSON()` returns.") from None
    except EndpointTaken as error:
        raise ApiError("forbidden", str(error), "Have the browser subscribe anew.") from None
    return web.Response(status=204)


async def delete(call: Call) -> web.Response:
    """Be told nothing more on a device. No error if it was told nothing before."""
    await _devices(call).forget(call.grant.subject, call.request.match_info["device"])
    return web.Response(status=204)


def _devices(call: Call) -> Devices:
    if call.services.devices is None:
        raise ApiError("not_found", "this server sends no pushes", "Its operator turned them off (SYNCD_PUSH).")
    return call.services.devices
