"""Models: the bodies, queries and answers of the REST routes, as pydantic models.

The schema of the OpenAPI page comes from here. Holds shapes only, no rules that need a session or a grant.
"""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from syncd.core.grant import Right
from syncd.core.ids import is_id, is_subject
from syncd.server.invites import Role


def _id(value: str) -> str:
    if not is_id(value):
        raise ValueError("an id is 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'")
    return value


def _subject(value: str) -> str:
    if not is_subject(value):
        raise ValueError("a subject is a kind, a colon and a name, such as user:mona or agent:planner")
    return value


def _name(value: str) -> str:
    if re.search(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]", value):
        raise ValueError("a name has no control characters")
    return value


def _plain_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        raise ValueError("only what JSON can say: no NaN, no Infinity, no deep nesting") from None
    return value


Id = Annotated[str, AfterValidator(_id), Field(json_schema_extra={"pattern": "^[A-Za-z0-9_-]{1,64}$"})]
Subject = Annotated[
    str,
    AfterValidator(_subject),
    Field(examples=["user:mona"], json_schema_extra={"pattern": r"^[a-z]{1,16}:[^\x00-\x1f\x7f]{0,110}$"}),
]
PlainName = Annotated[
    str, Field(max_length=128, json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f\u2028\u2029]*$"}), AfterValidator(_name)
]
#: 128 bits at the least, if it is random.
GuestKey = Annotated[
    str, AfterValidator(_id), Field(min_length=22, json_schema_extra={"pattern": "^[A-Za-z0-9_-]{22,64}$"})
]
JsonObject = Annotated[dict[str, Any], AfterValidator(_plain_json)]


class Body(BaseModel):
    """What a client sends. Unknown fields are refused, so that a misspelt one is not silently ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Query(BaseModel):
    """What stands behind the question mark."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """What the server answers."""

    model_config = ConfigDict(ser_json_bytes="base64", ser_json_inf_nan="null")


class CreateSession(Body):
    """Create a session."""

    session: Id | None = Field(None, description="The new session's id; a UUIDv7 is made if it is left out.")


class PostMessage(Body):
    """Post a message as the token's subject."""

    text: str = Field(min_length=1, description="What is said.")
    role: Literal["user", "assistant", "system"] = "user"
    to: list[Subject] = Field([], max_length=64, description="Subjects addressed: naming an agent wakes it.")
    metadata: JsonObject = Field({}, description="Anything of the app's; integers beyond 2^53 as strings.")
    id: Id | None = Field(None, description="The message's id. Posting the same id again returns the first post.")


class MintToken(Body):
    """Mint a token."""

    sub: Subject = Field(description="Who the token names.")
    name: str = Field(
        "",
        max_length=128,
        description="The name shown, without control characters; the subject's own if left out.",
        json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f\u2028\u2029]*$"},
    )
    sessions: dict[str, list[Right]] = Field(
        description="Rights by session id, or by prefix followed by `*`. An empty list allows reading.",
        json_schema_extra={"propertyNames": {"pattern": r"^([A-Za-z0-9_-]{1,64}|[A-Za-z0-9_-]{0,64}\*)$"}},
    )
    ttl_s: float = Field(3_600.0, gt=0, description="How long the token lives, in seconds; the server sets a bound.")


class RevokeTokens(Body):
    """Revoke one token, or all of a subject issued so far. Exactly one of the two."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"type": "string"}}} for name in ("token_id", "subject")
            ]
        }
    )

    token_id: Id | None = Field(None, description="The token's `jti`.")
    subject: Subject | None = None


class MakeInvite(Body):
    """Make an invite to the session."""

    role: Role = Field(description="What it allows: to read and be seen; also to talk; also to edit and command.")
    expires_in_s: float = Field(7 * 86_400.0, gt=0, description="How long it is good; the server sets a bound.")
    name: PlainName = Field("", description="What a guest is called who gives no name.")


class RedeemInvite(Body):
    """Redeem an invite for a token. With a token sent along, it is for its subject, else for a guest."""

    code: str = Field(min_length=1, max_length=8_000)
    name: PlainName = Field("", description="What others see; not for those who send a token along.")
    guest_key: GuestKey | None = Field(
        None,
        description="A random secret that this device made and keeps: the same one makes the same guest again. "
        "Without one, a new guest each time.",
    )


class SetStanding(Body):
    """Set how the token's subject stands to the session."""

    archived: bool = Field(description="Whether its list has the session among those put away.")


class ListQuery(Query):
    """A page of sessions."""

    after: str = Field("", max_length=64, description="Only ids above this one: the last of the page before.")
    limit: int = Field(100, ge=1)


class HistoryQuery(Query):
    """A page of messages."""

    before: int | None = Field(None, ge=1, description="Only messages with a `seq` below: the first of the page after.")
    limit: int = Field(100, ge=1)


class ExportQuery(Query):
    """Which format."""

    format: Literal["json", "markdown"] = "json"


class SearchQuery(Query):
    """Words to look for."""

    q: str = Field(min_length=1, max_length=256, description="Plain words; all must occur.")
    limit: int = Field(20, ge=1)


class SessionAnswer(Answer):
    """One session's row. Times are Unix milliseconds."""

    session: str
    incarnation: str = Field(description="Changes when the session was restored or created anew.")
    created_at: int
    updated_at: int
    version: int = Field(description="Version of the last log entry.")
    entries: int
    bytes: int = Field(description="Size of its log.")
    damaged: bool


class PersonAnswer(Answer):
    """A person or an agent of a session."""

    subject: str
    kind: str
    status: str = Field(description="`active`, `idle`, `away` or `offline`.")
    devices: int = Field(description="How many devices it is connected with now.")
    runs: list[str] = Field(description="Runs that an agent works on.")
    last_seen: int | None = Field(
        description="When it was last connected, Unix milliseconds; null if it never was, and for somebody who is not "
        "here and was only addressed or made responsible."
    )


class PeopleAnswer(Answer):
    """Everybody who is on a session, the most present first, and those who take part in it and are not."""

    people: list[PersonAnswer]


class SessionsAnswer(Answer):
    """A page of sessions. `next` is what to give as `after` for the following one, empty at the end."""

    sessions: list[SessionAnswer]
    next: str


class WholeSession(Answer):
    """A whole session."""

    model_config = ConfigDict(extra="allow")

    session: str
    incarnation: str
    seq: int
    messages: list[dict[str, Any]] = Field(description="In the session's agreed order.")
    commands: list[dict[str, Any]]
    state: dict[str, Any]


class SessionExport(Answer):
    """A session as it can be imported: what is read of it, and what it is made of. The latter alone is imported."""

    model_config = ConfigDict(extra="allow")

    format: Literal["syncd.session.v1"]
    session: Id
    seq: int = Field(ge=0, description="The last place given.")
    documents: dict[Literal["transcript", "state"], str] = Field(description="Yjs updates by layer, as base64.")
    authors: dict[str, list[int]] = Field(description="Client ids by subject.")
    roots: dict[str, int] = Field(description="The kinds of the state's roots.")


class MessagesAnswer(Answer):
    """A page of messages, oldest first. `before` is what to give for the page before it, null at the start."""

    messages: list[dict[str, Any]]
    before: int | None


class PostedMessage(Answer):
    """A message that is on disk."""

    message: str
    seq: int
    by: str
    at: int = Field(description="When the server took it, Unix milliseconds.")


class SearchHitAnswer(Answer):
    """One message that matched. `excerpt` marks the matches by U+2068 and U+2069."""

    session: str
    message: str
    excerpt: str


class SearchAnswer(Answer):
    """What was found, best first."""

    hits: list[SearchHitAnswer]


class MintedToken(Answer):
    """A fresh token. Shown once."""

    token: str
    token_id: str
    expires_at: int = Field(description="Unix seconds.")


class MadeInvite(Answer):
    """A fresh invite. Shown once: the code is not kept. Put it behind the `#` of a link, which no server sees."""

    code: str
    invite: str = Field(description="Its id, to revoke it by.")
    role: str
    expires_at: int = Field(description="Unix seconds.")


class RedeemedInvite(Answer):
    """A token for the session of an invite, and whom it names."""

    token: str
    token_id: str
    expires_at: int = Field(description="Unix seconds. Redeem the invite again before, with the same key or token.")
    session: str
    subject: str
    name: str
    role: str
    rights: list[Right] = Field(description="What may be done on the session.")


class Status(Answer):
    """How the server is."""

    status: str


class ConsoleAnswer(Answer):
    """What the console has to know before anybody has signed in."""

    dev: bool = Field(description="Whether a name is enough to sign in: `dev:NAME` in place of a token.")
    demo: str | None = Field(description="The session to begin with, null if there is none.")
    version: str = Field(description="The server's version.")
    push: bool = Field(description="Whether people can be told on their devices what they were not there for.")


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str = Field(description="Stable; act on this one.")
    message: str = Field(description="For people.")
    hint: str = Field(description="What to do next; may be empty.")


class ErrorAnswer(BaseModel):
    """The shape of every error answer."""

    error: ErrorDetail
