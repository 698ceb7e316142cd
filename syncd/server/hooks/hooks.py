"""Hooks: all of it put together: configuration, rules, engine, outbox and channels.

What the rest of the server uses. Knows nothing of requests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from syncd.core.errors import LocalProtocolError
from syncd.core.events import Event, StoredEvent
from syncd.core.limits import Limits
from syncd.core.messages import Json
from syncd.core.record import record
from syncd.core.server_turn import Ready
from syncd.server.hooks.channel import Channel, OpenChannel
from syncd.server.hooks.channels.callable import CallableChannel
from syncd.server.hooks.channels.wake import WakeChannel
from syncd.server.hooks.channels.webhook import WebhookChannel
from syncd.server.hooks.conditions import PeoplePort
from syncd.server.hooks.config import HooksConfig, HooksConfigError
from syncd.server.hooks.engine import PAGE, Engine, EventLog, Explained
from syncd.server.hooks.making import WAKE
from syncd.server.hooks.outbox import Outbox, Schedule
from syncd.server.hooks.rulebook import RuleBook, RuleRefused
from syncd.server.hooks.rules import Rule
from syncd.server.hooks.targets import Outbound, Target
from syncd.server.live_session import Follower, LiveSession
from syncd.server.metrics import Metrics
from syncd.store.hook_rows import DEAD, STATES, Delivery
from syncd.store.outbox import HookStore

F = TypeVar("F", bound=Callable[..., object])


@record
class TargetState:
    """How a target is: `disabled` says why nothing is sent to it, empty if it is; `pending` is what waits."""

    name: str
    channel: str
    disabled: str
    pending: int


class Hooks(Follower):
    """Everything that tells the absent.

    1. A rule names only what there is: its channel is set up, its target is one of it.

    `channels` are those beside webhooks, callables and calls of agents, by name. Call `wake` when there are new events.
    """

    def __init__(
        self,
        config: HooksConfig,
        log: EventLog,
        store: HookStore,
        people: PeoplePort,
        limits: Limits,
        metrics: Metrics,
        *,
        now_ms: Callable[[], int],
        waits: Callable[[str, str], bool],
        outbound: Outbound | None = None,
        channels: Mapping[str, Channel] | None = None,
    ) -> None:
        """`waits(session, run)`: whether a run waits for a worker.

        Raises:
            HooksConfigError: a target's value is missing, or a rule names what there is not.
        """
        targets = config.make_targets()
        self.targets: Mapping[str, Target] = {name: target for name, (target, _) in targets.items()}
        self.outbound = outbound or Outbound(config.guard())
        self.rules = RuleBook(store, config.rules)
        self._callables = CallableChannel()
        self._added: list[OpenChannel] = []
        self.log = log
        self._store = store
        self.metrics = metrics
        self.now_ms = now_ms
        #: All channels by name. What is put in here before `start` can be named by rules.
        self.channels: dict[str, Channel] = {
            "webhook": WebhookChannel(self.targets, self.outbound, body_bytes_max=limits.hook_body_bytes_max),
            "call": self._callables,
            WAKE: WakeChannel(self.targets, self.outbound, waits, again_s=config.wake_again_s),
            **(channels or {}),
        }
        schedule = Schedule(config.retry_s, config.person_retry_s)
        self._outbox = Outbox(store, self.channels, self.targets, schedule, limits, metrics, now_ms=now_ms)
        wakes: dict[str, list[str]] = {}
        for name, (_, agent) in targets.items():
            if agent:
                wakes.setdefault(agent, []).append(name)
        self._engine = Engine(
            log,
            store,
            self.rules,
            people,
            limits,
            metrics,
            now_ms=now_ms,
            concurrency={name: target.concurrency for name, target in self.targets.items()},
            wakes=wakes,
            disabled=self._outbox.disabled,
            on_committed=self._outbox.committed,
        )

    async def start(self) -> None:
        """Go on where it ended. The store is open.

        Raises:
            HooksConfigError: a rule of the configuration names what there is not.
        """
        for rule in self.rules:
            try:
                self.check(rule)
            except RuleRefused as error:
                raise HooksConfigError(f"rule {rule.name}: {error}") from None
        await self.rules.load()
        await self._outbox.start()
        await self._engine.start()

    async def stop(self) -> None:
        """Stop; what is under way may come to an end for a moment. Idempotent."""
        await self._engine.stop()
        await self._outbox.stop()
        for channel in (self._callables, *self._added):
            await channel.close()
        await self.outbound.close()

    def add_channel(self, name: str, channel: OpenChannel) -> None:
        """Let rules name one more channel, before `start`; it is closed at the end."""
        self.channels[name] = channel
        self._added.append(channel)

    def tells(self, channel: str) -> bool:
        """Whether some rule tells by a channel."""
        return any(rule.channel == channel for rule in self.rules)

    def wake(self) -> None:
        """Look for new events."""
        self._engine.wake()

    def advanced(self, live: LiveSession, ready: Ready) -> None:
        """Look for the events that a turn brought."""
        if ready.events:
            self.wake()

    def deleted(self, session: str) -> None:
        """Forget a session that was deleted; its rows are gone already."""
        self._engine.forget(session)
        self._outbox.erased()

    def offline(self, agent: str, sessions: Collection[str]) -> None:
        """Take notice that an agent's last worker is gone; in which sessions that is news."""
        self._engine.offline(agent, sessions)

    @property
    def cursor(self) -> int:
        """The log's row of the last event that was judged."""
        return self._engine.cursor

    @property
    def pending(self) -> Mapping[str, int]:
        """How many deliveries wait for each target; those that were sent and are not marked yet do not count."""
        return self._outbox.pending

    # Rules

    def on(self, *types: str, name: str = "", **rule: Any) -> Callable[[F], F]:
        """Have a function called with the `Notice` of each event of these types.

        It is called at least once for each, across restarts, one at a time and in order; one that raises is called
        again later. `name` is what it is known by across restarts: the function's own, unless it is given. Further
        fields are those of a `Rule`: `where`, `whom`, `when`, `sessions`, `digest_s`, ….

        Raises:
            LocalProtocolError: the fields make no rule, or the name is taken.
        """

        def register(function: F) -> F:
            known_as = name or function.__name__
            try:
                made = Rule.model_validate(
                    {"name": known_as, "on": types, "channel": "call", "target": known_as} | rule
                )
                self.rules.add(made)
            except (ValueError, RuleRefused) as error:
                raise LocalProtocolError(f"on({', '.join(types)}): {error}") from None
            self._callables.add(known_as, function)
            return function

        return register

    def check(self, rule: Rule) -> None:
        """Check that a rule names what there is.

        Raises:
            RuleRefused: it does not.
        """
        if rule.channel not in self.channels:
            raise RuleRefused(f"the channel {rule.channel} is not set up on this server")
        if rule.channel in ("webhook", "apprise"):  # Invariant 1.
            target = self.targets.get(rule.target)
            if target is None or target.channel != rule.channel:
                raise RuleRefused(f"there is no {rule.channel} named {rule.target} in the server's configuration")

    async def put_rule(self, rule: Rule) -> None:
        """Put a rule, in place of the one of that name.

        Raises:
            RuleRefused: it names what there is not, or its name is one of the configuration's.
        """
        if rule.channel == "call":
            raise RuleRefused("functions are named by the program they are part of")
        self.check(rule)
        await self.rules.put(rule)

    # Looking

    async def explain(self, event: StoredEvent) -> Sequence[Explained]:
        """Return what all rules would make of an event now, and why. Nothing is told."""
        return await self._engine.explain(event)

    async def find(self, id: str) -> StoredEvent | None:
        """Return one of the last events by its id."""
        after, last = -1, 0
        while last > after:
            after = last
            page, last = await self.log.events(after, PAGE * 5)
            for stored in page:
                if stored.id == id:
                    return stored
        return None

    async def deliveries(
        self, *, states: Sequence[str] = STATES, before: int | None = None, target: str = "", limit: int = 100
    ) -> Sequence[Delivery]:
        """Return deliveries, newest first."""
        return await self._store.list(states=states, before=before, target=target, limit=limit)

    async def replay(self, *, ids: Sequence[str] = (), target: str = "") -> Sequence[Delivery]:
        """Have dead deliveries wait again: by id, or all of a target. Return them."""
        revived = await self._store.replay(ids=ids, target=target, now_ms=self.now_ms())
        self._outbox.replayed(revived)
        return revived

    async def target_states(self) -> Sequence[TargetState]:
        """Return how all targets of the configuration are."""
        pending, disabled = self._outbox.pending, self._outbox.disabled
        return [
            TargetState(name, target.channel, disabled.get(name, ""), pending.get(name, 0))
            for name, target in self.targets.items()
        ]

    async def dead(self) -> int:
        """Return how many dead letters there are."""
        return sum((await self._store.counts(DEAD)).values())

    async def enable(self, target: str) -> bool:
        """Send to a target again that said it is gone; return whether it was disabled."""
        return await self._outbox.enable(target)


def made_up(session: str, type: str, by: str, data: Mapping[str, Json], now_ms: int) -> StoredEvent:
    """Return an event that did not happen, to try rules on."""
    return StoredEvent(0, session, "", Event("made up", type, now_ms, by, data))
