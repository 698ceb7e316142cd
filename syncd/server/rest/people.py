"""The routes of who is on a session, and of how somebody stands to it.

Each checks the grant, then asks the lists. Knows nothing of how presence comes about.
"""

from aiohttp import web

from syncd.server.lists import Lists
from syncd.server.rest.models import PeopleAnswer, PersonAnswer, SetStanding
from syncd.server.rest.route import Call, absent, reply


async def people(call: Call) -> web.Response:
    """Return who is on a session, and when those who are not, but wrote or read there, were last seen."""
    call.require()
    lists = await _lists(call)
    here = lists.people.people(call.session)
    there = {person.subject for person in here}
    participants = await lists.participants(call.session)
    away = [subject for subject in participants if subject not in there]
    # Not of those who were only named: whoever has a session could learn it of anybody, by addressing them.
    seen = await lists.people.seen([*there, *(subject for subject in away if participants[subject])])
    answers = [
        PersonAnswer(
            subject=person.subject,
            kind=person.kind,
            status=person.status,
            devices=len(person.devices),
            runs=[*person.runs],
            last_seen=seen.get(person.subject),
        )
        for person in here
    ]
    answers += [
        PersonAnswer(
            subject=subject,
            kind=subject.partition(":")[0],
            status="offline",
            devices=0,
            runs=[],
            last_seen=seen.get(subject),
        )
        for subject in away
    ]
    return reply(PeopleAnswer(people=answers))


async def stand(call: Call) -> web.Response:
    """Put a session away, or back, for the token's subject alone."""
    call.require()
    lists = await _lists(call)
    if not await lists.archive(call.session, call.grant.subject, archived=call.body(SetStanding).archived):
        raise absent()
    return web.Response(status=204)


async def _lists(call: Call) -> Lists:
    if call.services.lists is None or await call.services.sessions.info(call.session) is None:
        raise absent()
    return call.services.lists
