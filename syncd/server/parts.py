"""Parts: makes what a server consists of, as its settings say.

Knows nothing of starting and stopping, nor of what any part does with a request.
"""

import os
import time

from syncd.core.limits import Limits
from syncd.server.address import ClientAddresses
from syncd.server.auth import SECRET_BYTES_MIN, Auth, Key
from syncd.server.config import Settings
from syncd.server.console import BUILT, Console
from syncd.server.hooks.channels.apprise import AppriseChannel, BadTarget
from syncd.server.hooks.channels.push import PushChannel
from syncd.server.hooks.channels.vapid import Vapid
from syncd.server.hooks.config import HooksConfigError, load_hooks
from syncd.server.hooks.devices import Devices
from syncd.server.hooks.hooks import Hooks
from syncd.server.hooks.targets import Guard, Outbound
from syncd.server.lists import Lists
from syncd.server.metrics import Metrics
from syncd.server.origin import OriginPolicy, is_loopback
from syncd.server.people import People
from syncd.server.revocations import Revocations
from syncd.server.run_records import RunRecords
from syncd.server.services import LinksPort, Services, SessionsPort
from syncd.server.sessions import Sessions
from syncd.server.work import Dispatcher
from syncd.store.session_log import SqliteSessionLog
from syncd.store.subscriptions import Subscriptions


def make_auth(settings: Settings, limits: Limits, metrics: Metrics) -> Auth:
    """Return what decides about tokens, the stored revocation list included.

    Raises:
        StoreDamaged: the revocation list does not read.
    """
    # Without keys, the development mode signs with one that ends with the process.
    keys = settings.signing_keys() or (Key("", "HS256", os.urandom(SECRET_BYTES_MIN)),)
    return Auth(
        keys,
        revocations=Revocations(settings.revocations_path),
        metrics=metrics,
        issuer=settings.issuer,
        audience=settings.audience,
        ttl_max_s=settings.token_ttl_max_s,
        sealed_ttl_max_s=settings.invite_ttl_max_s,
        failures_per_minute=limits.auth_failures_per_minute,
        dev=settings.dev,
    )


def make_services(
    settings: Settings,
    sessions: SessionsPort,
    links: LinksPort,
    auth: Auth,
    limits: Limits,
    metrics: Metrics,
    runs: RunRecords | None = None,
    lists: Lists | None = None,
    *,
    demo: str | None = None,
    devices: Devices | None = None,
    hooks: Hooks | None = None,
) -> Services:
    """Return what the routes may use. `demo` is the session that the console begins with, None for its list."""
    origins = OriginPolicy(
        origins=settings.allowed_origins, hosts=settings.allowed_hosts, loopback=is_loopback(settings.host)
    )
    console = Console(settings.console or BUILT, dev=settings.dev, demo=demo)
    addresses = ClientAddresses(settings.trusted_proxies)
    return Services(
        sessions,
        links,
        auth,
        limits,
        metrics,
        origins,
        addresses,
        runs,
        settings.invite_ttl_max_s,
        lists,
        console,
        hooks=hooks,
        devices=devices,
    )


def make_push(
    settings: Settings, subscriptions: Subscriptions, auth: Auth, limits: Limits
) -> tuple[Devices, PushChannel] | None:
    """Return people's devices and what tells them, None where no pushes are sent.

    Raises:
        StoreDamaged: the key for pushes does not read.
        StoreError: it cannot be kept.
    """
    if not settings.push:
        return None
    vapid = Vapid.load(settings.push_key_path, contact=settings.push_contact, clock=time.time)
    # Not the hooks' own: what an operator allows for webhooks is no place for whoever has a token to name.
    push_guard = Guard(settings.push_allow)
    devices = Devices(subscriptions, vapid.public_key, push_guard, limits.push_devices_max, auth.revoked)
    return devices, PushChannel(devices, vapid, Outbound(push_guard))


def make_hooks(
    settings: Settings,
    sessions: Sessions,
    store: SqliteSessionLog,
    people: People,
    dispatcher: Dispatcher,
    limits: Limits,
    metrics: Metrics,
    *,
    demo: bool = False,
) -> Hooks:
    """Return what tells the absent, fed by the sessions. `demo`: without a file of rules there are those of a demo.

    Raises:
        HooksConfigError: the file that the settings name cannot be used.
    """
    hooks = Hooks(
        load_hooks(settings.hooks, demo=demo and settings.push),
        store,
        store.outbox,
        people,
        limits,
        metrics,
        now_ms=sessions.now_ms,
        waits=dispatcher.waits,
    )
    named = {name: target.url for name, target in hooks.targets.items() if target.channel == "apprise"}
    if named:
        try:
            hooks.add_channel("apprise", AppriseChannel(named, public_url=settings.public_url))
        except BadTarget as error:
            raise HooksConfigError(str(error)) from None
    sessions.followers.append(hooks)
    dispatcher.where = people.where
    dispatcher.on_offline.append(hooks.offline)
    return hooks
