"""The routes of hooks: rules, what was told and what not, what would be, and the schema of events.

For operators, who have the right admin on `*`: a rule sees the events of all sessions.
"""

from aiohttp import web
from pydantic import ValidationError

from syncd.core.codec import pack
from syncd.core.grant import Right
from syncd.server.hooks.hooks import Hooks, made_up
from syncd.server.hooks.making import channel_of, notice_of
from syncd.server.hooks.rulebook import RuleRefused
from syncd.server.hooks.rules import Rule
from syncd.server.hooks.schemas import TYPES, events_schema
from syncd.server.http import ApiError
from syncd.server.rest import hook_models as m
from syncd.server.rest.route import Call, describe, reply
from syncd.store.hook_rows import STATES, Delivery


async def schema(call: Call) -> web.Response:
    """Return the JSON Schema of all events."""
    return web.json_response(events_schema())


async def rules(call: Call) -> web.Response:
    """List all rules and targets."""
    hooks = _hooks(call)
    answers = [
        m.RuleAnswer.model_validate({"rule": rule.model_dump(mode="json"), "source": source})
        for rule, source in hooks.rules.sources().values()
    ]
    targets = [
        m.TargetAnswer(name=t.name, channel=t.channel, disabled=t.disabled, pending=t.pending)
        for t in await hooks.target_states()
    ]
    return reply(m.RulesAnswer(rules=answers, targets=targets))


async def put_rule(call: Call) -> web.Response:
    """Put a rule. The targets it may name are those of the server's configuration."""
    hooks = _hooks(call)
    rule = Rule.model_validate(call.body(m.RuleBody).model_dump())
    if rule.name != call.request.match_info["rule"]:
        raise ApiError("invalid", "the rule's name is not the one in the path")
    try:
        await hooks.put_rule(rule)
    except RuleRefused as error:
        hint = "GET /v1/hooks/rules lists rules and targets; those of the server stand in what SYNCD_HOOKS names."
        raise ApiError("invalid", str(error), hint) from None
    return reply(m.RuleAnswer(rule=rule.model_dump(mode="json"), source="rest"))


async def drop_rule(call: Call) -> web.Response:
    """Drop a rule that was put. What it told already is delivered."""
    hooks = _hooks(call)
    try:
        dropped = await hooks.rules.drop(call.request.match_info["rule"])
    except RuleRefused as error:
        raise ApiError("invalid", str(error)) from None
    if not dropped:
        raise ApiError("not_found", "there is no such rule", "GET /v1/hooks/rules lists them.")
    return web.Response(status=204)


async def log(call: Call) -> web.Response:
    """List what was delivered, what waits, and what was given up."""
    hooks, query = _hooks(call), call.query(m.LogQuery)
    return await _page(call, hooks, query, (query.state,) if query.state else STATES)


async def dead(call: Call) -> web.Response:
    """List dead letters."""
    return await _page(call, _hooks(call), call.query(m.LogQuery), ("dead",))


async def replay(call: Call) -> web.Response:
    """Have dead letters wait again, as if they were new; a target that was disabled is sent to again."""
    hooks, body = _hooks(call), call.body(m.ReplayBody)
    if bool(body.ids) == bool(body.target):
        raise ApiError("invalid", "name ids or a target, one of the two")
    enabled = bool(body.target) and await hooks.enable(body.target)
    revived = await hooks.replay(ids=body.ids, target=body.target)
    return reply(m.ReplayAnswer(replayed=[delivery.id for delivery in revived], enabled=enabled))


async def test(call: Call) -> web.Response:
    """Say what all rules would make of an event now, and why. Nothing is told to anybody."""
    hooks, body = _hooks(call), call.body(m.TryBody)
    if bool(body.id) == (body.event is not None):
        raise ApiError("invalid", "name an id or an event, one of the two")
    if body.event is not None:
        given = body.event
        if given.type not in TYPES:
            raise ApiError("invalid", f"there is no type {given.type!r}", "GET /v1/events/schema lists them.")
        _check_data(given)
        stored = made_up(given.session, given.type, given.by, given.data, hooks.now_ms())
    else:
        found = await hooks.find(body.id)
        if found is None:
            raise ApiError("not_found", "there is no such event, or it was too long ago")
        stored = found
    explained = [
        m.Explanation.model_validate(
            {
                "rule": e.rule,
                "channel": e.channel,
                "target": e.target,
                "subject": e.subject,
                "act": e.act,
                "reason": e.reason,
                "due_at": e.due_ms,
            }
        )
        for e in await hooks.explain(stored)
    ]
    return reply(m.TryAnswer(id=stored.id, type=stored.event.type, session=stored.session, rules=explained))


def _check_data(given: m.TryEvent) -> None:
    """Go on only with what an event of the type could say.

    Raises:
        ApiError: it could not.
    """
    hint = "GET /v1/events/schema says what an event of each type holds."
    try:
        TYPES[given.type].model_validate(given.data)
        pack(given.data)
    except ValidationError as error:
        raise ApiError("invalid", describe(error, "event.data"), hint) from None
    except (OverflowError, ValueError):
        raise ApiError("invalid", "event.data: integers have 64 bits at most, and nothing is that deep", hint) from None


async def _page(call: Call, hooks: Hooks, query: m.LogQuery, states: tuple[str, ...]) -> web.Response:
    limit = min(query.limit, call.services.limits.page_max)
    found = await hooks.deliveries(states=states, before=query.before, target=query.target, limit=limit)
    before = found[-1].row if len(found) == limit else None
    return reply(m.DeliveriesAnswer(deliveries=[_answer(delivery) for delivery in found], before=before))


def _answer(delivery: Delivery) -> m.DeliveryAnswer:
    notice = notice_of(delivery, delivery.attempt)
    return m.DeliveryAnswer(
        row=delivery.row,
        id=delivery.id,
        rule=notice.rule,
        channel=channel_of(delivery),
        target=notice.target,
        subject=notice.subject,
        session=delivery.session,
        type=notice.type,
        events=[event["id"] for event in notice.events],
        state=delivery.state,
        attempt=delivery.attempt,
        reason=delivery.reason,
        made_at=delivery.made_ms,
        due_at=delivery.due_ms,
        ended_at=delivery.ended_ms,
    )


def _hooks(call: Call) -> Hooks:
    if Right.ADMIN not in (call.grant.rights("*") or ()):
        raise ApiError("forbidden", "this needs the right admin on '*'", "Use an operator's token.")
    if call.services.hooks is None:
        raise ApiError("not_ready", "this server was put together without hooks")
    return call.services.hooks
