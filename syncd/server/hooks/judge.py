"""Judge: what a rule makes of an event for one person or target: tell now, look again later, or leave it.

Pure: time, facts and who is there come in. Knows nothing of what is stored or how anybody is told.
"""

from enum import StrEnum
from typing import Final, Literal

from syncd.core.record import record
from syncd.server.hooks.conditions import PeoplePort, Reason, looking, named, reason_not
from syncd.server.hooks.happened import Happened, SessionFacts
from syncd.server.hooks.rules import Rule


class Stage(StrEnum):
    """What a notice in the making has behind it: nothing, the time unread, the quiet hours, the gathering."""

    START = "start"
    UNREAD = "unread"
    QUIET = "quiet"
    DIGEST = "digest"
    #: Not a notice: whether the event was answered is looked at again.
    ESCALATE = "escalate"


#: What is due at one of these together is told together.
GATHERED: Final = (Stage.QUIET, Stage.DIGEST)


@record
class Verdict:
    """What is done, and why. What waits is looked at again at `due_ms`, with `stage` behind it by then.

    `why` is there where nothing is done for the state of things, which may turn out to be another.
    """

    act: Literal["tell", "wait", "no"]
    reason: str
    due_ms: int = 0
    stage: Stage = Stage.START
    why: Reason | None = None


def persons(rule: Rule, event: Happened, facts: SessionFacts, people: PeoplePort, step: int = 0) -> list[str]:
    """Return whom a rule is about at a step of its escalation; `[""]` for one that is about none."""
    if not rule.whom:
        return [""]
    return named(rule.whom if step == 0 else rule.escalate_to[step - 1 : step], event, facts, people)


def judge(
    rule: Rule, event: Happened, subject: str, stage: Stage, now_ms: int, facts: SessionFacts, people: PeoplePort
) -> Verdict:
    """Return what becomes of an event for one person, or with an empty `subject` for the rule's target."""
    unread_s = rule.when.unread_for_s
    if stage is Stage.START and unread_s:
        if subject == event.by:
            return Verdict("no", "caused it")
        # Of a message it is known whether it was read; of anything else only that it happened before their eyes.
        if event.type != "message.created" and (looks := looking(rule, event, subject, people)):
            return Verdict("no", looks.text, why=looks)
        return Verdict("wait", f"unread for {unread_s:g} s", event.at_ms + int(unread_s * 1000), Stage.UNREAD)
    settles_ms = people.settles_ms()
    if now_ms < settles_ms and (subject or rule.when.nobody_watching):
        return Verdict("wait", "the server has just started: who was here comes back", settles_ms, stage)
    if reason := reason_not(rule, event, subject, facts, people):
        return Verdict("no", reason.text, why=reason)
    if rule.quiet is not None and stage is not Stage.QUIET:
        until_ms = rule.quiet.until_ms(now_ms)
        if until_ms is not None:
            return Verdict("wait", "quiet hours", until_ms, Stage.QUIET)
    if rule.digest_s is not None and stage in (Stage.START, Stage.UNREAD):
        return Verdict("wait", f"gathered for {rule.digest_s:g} s", now_ms + int(rule.digest_s * 1000), Stage.DIGEST)
    return Verdict("tell", "all conditions hold")
