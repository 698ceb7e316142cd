"""Config: the file that says where notices may go, by which rules, and at which pace.

Holds values, checked, and the secrets they name. Knows nothing of what is built from them.
"""

import base64
import binascii
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from syncd.server.config import ConfigError
from syncd.server.hooks.rules import Name, Rule
from syncd.server.hooks.targets import Guard, Target, TargetRefused
from syncd.server.problems import problems_of

#: The delays of the Standard Webhooks specification, in seconds; the first attempt is made at once.
RETRY_S: Final = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105


class HooksConfigError(ConfigError):
    """The hooks' configuration cannot be used. The message has a line for each problem, and never a secret."""


def _agent(value: str) -> str:
    if value and not value.startswith("agent:"):
        raise ValueError("an agent is named as agent:planner")
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TargetConfig(_Strict):
    """One target. `url` and `secrets` may say where the value is instead: `env:NAME` or `file:PATH`."""

    name: Name
    channel: Literal["webhook", "apprise", "wake"]
    url: str = Field(repr=False, description="Where it is. Secret where it holds a token.")
    secrets: tuple[str, ...] = Field(
        default=(), max_length=2, repr=False, description="`whsec_…` keys that sign; two while one replaces the other."
    )
    agent: Annotated[str, AfterValidator(_agent)] = Field(default="", description="`wake`: the agent that it calls.")
    concurrency: int = Field(
        default=1, ge=1, le=100, description="Requests at a time. With more than one, order is kept in each session."
    )
    per_s: float = Field(default=50.0, gt=0, le=10_000, description="Requests begun a second.")
    timeout_s: float = Field(default=15.0, gt=0, le=60, description="For one request, name lookup and answer included.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.channel != "apprise" and not self.secrets:
            raise ValueError(
                f"the {self.channel} {self.name} has no secret to sign with: make one with syncd hooks key"
            )
        if (self.channel == "wake") != bool(self.agent):
            raise ValueError("an agent is named for the channel wake, and for no other")
        return self


class HooksConfig(_Strict):
    """All of the table `[hooks]`."""

    allow: tuple[str, ...] = Field(default=(), description="Addresses and networks of your own that may be targets.")
    retry_s: tuple[float, ...] = Field(
        default=RETRY_S, min_length=1, description="Delays between attempts, in seconds; then it is a dead letter."
    )
    person_retry_s: tuple[float, ...] = Field(
        default=(5.0, 60.0, 600.0, 3_600.0), min_length=1, description="The same for persons: late news are none."
    )
    wake_again_s: float = Field(
        default=30.0, gt=0, le=3_600, description="An agent that was called and claims nothing is called again."
    )
    targets: tuple[TargetConfig, ...] = ()
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for kind, named in (("target", self.targets), ("rule", self.rules)):
            names = [item.name for item in named]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"there are two {kind}s named {twice[0]}")
        Guard(self.allow)
        return self

    def guard(self) -> Guard:
        """Return what decides about addresses."""
        return Guard(self.allow)

    def make_targets(self) -> Mapping[str, tuple[Target, str]]:
        """Return the targets by name, each with the agent it wakes. Reads the files and variables they name.

        Raises:
            HooksConfigError: a value is not there, or is none.
        """
        return {item.name: (self._target(item), item.agent) for item in self.targets}

    def _target(self, item: TargetConfig) -> Target:
        url = _value(item.url, f"the URL of {item.name}")
        if item.channel != "apprise":
            try:
                self.guard().check_url(url)
            except TargetRefused as error:
                raise HooksConfigError(f"target {item.name}: {error}") from None
        secrets = tuple(_secret(_value(secret, f"a secret of {item.name}"), item.name) for secret in item.secrets)
        return Target(
            item.name, item.channel, url, secrets, concurrency=item.concurrency, per_s=item.per_s,
            timeout_s=item.timeout_s,
        )  # fmt: skip


#: What a server with a demo session tells: those who asked, on the devices that they allowed it on.
DEMO: Final[Mapping[str, Any]] = {
    "rules": [
        {
            "name": "done",
            "on": ["run.ended", "approval.requested"],
            "whom": ["asker"],
            "when": {"nobody_watching": True},
            "channel": "push",
        }
    ]
}


def load_hooks(path: Path | None, *, demo: bool = False) -> HooksConfig:
    """Return what a file says of hooks; without one, nothing is told to anybody but in a demo.

    Raises:
        HooksConfigError: it does not read, or something in it cannot be used.
    """
    if path is None:
        return HooksConfig.model_validate(DEMO if demo else {})
    try:
        parsed: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise HooksConfigError(f"{path} cannot be read ({type(error).__name__})") from None
    except tomllib.TOMLDecodeError as error:
        raise HooksConfigError(f"{path} is not TOML: {error}") from None
    unknown = sorted(parsed.keys() - {"hooks"})
    if unknown:
        raise HooksConfigError(f"{path}: there is no table [{unknown[0]}]; everything stands under [hooks]")
    try:
        return HooksConfig.model_validate(parsed.get("hooks", {}))
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(['hooks', *p.path])}: {p.message}" for p in problems_of(error)]
        raise HooksConfigError("\n".join(lines)) from None


def new_secret(entropy: bytes) -> str:
    """Return a key for a webhook, from at least 24 random bytes."""
    return _SECRET_PREFIX + base64.b64encode(entropy).decode()


def _value(given: str, what: str) -> str:
    source, colon, name = given.partition(":")
    if not colon or source not in ("env", "file"):
        return given
    if source == "env":
        value = os.environ.get(name, "")
        if not value:
            raise HooksConfigError(f"{what}: the variable {name} is not set")
        return value.strip()
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise HooksConfigError(f"{what}: the file {name} cannot be read ({type(error).__name__})") from None


def _secret(value: str, target: str) -> bytes:
    try:
        key = base64.b64decode(value.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not value.startswith(_SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise HooksConfigError(
            f"target {target}: a secret is whsec_ and 24 to 64 bytes in base64: make one with syncd hooks key"
        )
    return key
