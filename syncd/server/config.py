"""Config: every setting of the server, from the environment or from whoever starts it.

Holds values, checked and explained. Knows nothing of what is built from them.
"""

import dataclasses
import difflib
import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from syncd.core.errors import SyncdError
from syncd.core.limits import Limits
from syncd.server.auth import Key, parse_keys
from syncd.server.origin import is_loopback, parse_origin
from syncd.server.problems import problems_of

_LIMIT_NAMES = tuple(field.name for field in dataclasses.fields(Limits))
_WHOLE_LIMITS = frozenset(field.name for field in dataclasses.fields(Limits) if isinstance(field.default, int))


class ConfigError(SyncdError):
    """A setting cannot be used. The message has a line for each, with what to do, and never a secret."""


def _split(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


#: Several values in one variable, parted by commas or white space.
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """The settings of one server. Each is read from `SYNCD_` and its name; secrets also from a file.

    1. Without keys there is no server, unless in the development mode.
    2. The development mode binds to loopback only.
    3. No error message repeats a value of a secret.
    """

    model_config = SettingsConfigDict(
        env_prefix="SYNCD_",
        env_nested_delimiter="__",
        env_ignore_empty=True,  # `SYNCD_HOOKS=` in a unit's file is no path: it is as if it were not there.
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # Invariant 3.
        validate_default=True,
    )

    host: str = Field("127.0.0.1", description="Address to listen on. Loopback unless you mean otherwise.")
    port: int = Field(8484, ge=0, le=65_535, description="Port to listen on; 0 lets the system choose.")
    store: Path = Field(Path("syncd.db"), description="The SQLite file that holds all sessions.")
    keys: SecretStr = Field(
        SecretStr(""),
        description="Secrets that sign and verify tokens (HS256), parted by white space: `SECRET`, or `KID:SECRET` "
        "to rotate. The first signs, all verify. At least 32 bytes each, without colon or white space.",
    )
    keys_file: Path | None = Field(None, description="A file that holds what `SYNCD_KEYS` would.")
    public_key: SecretStr = Field(
        SecretStr(""), description="An Ed25519 public key in PEM, for tokens that somebody else signs (EdDSA)."
    )
    public_key_file: Path | None = Field(None, description="A file that holds what `SYNCD_PUBLIC_KEY` would.")
    public_key_id: str = Field("", description="The `kid` of tokens signed with the public key, if they carry one.")
    issuer: str = Field("syncd", min_length=1, description="What a token's `iss` must be.")
    audience: str = Field("syncd", min_length=1, description="What a token's `aud` must be or contain.")
    token_ttl_max_s: float = Field(
        86_400.0, gt=0, le=365 * 86_400.0, description="A token that lives longer than this many seconds is refused."
    )
    invite_ttl_max_s: float = Field(
        30 * 86_400.0, gt=0, le=365 * 86_400.0, description="An invite is good for this many seconds at most."
    )
    dev: bool = Field(
        False, description="Development mode: no token is needed, everybody may do everything. On loopback only."
    )
    allowed_origins: Words = Field(
        (),
        description="Web origins that may connect, such as `https://app.example.com`, besides the server's own.",
    )
    allowed_hosts: Words = Field(
        (), description="Host names to answer to. Empty: loopback names if bound to loopback, else any."
    )
    trusted_proxies: Words = Field(
        (), description="Addresses or networks of proxies whose `X-Forwarded-For` names the client."
    )
    hooks: Path | None = Field(
        None,
        description="A TOML file that says who is told of what, and where webhooks go. Without one, nobody is told.",
    )
    push: bool = Field(True, description="Whether people may be told on their devices by Web Push.")
    push_contact: str = Field(
        "",
        description="Where push services reach you, `mailto:ops@example.com` or an `https:` URL. Apple's wants one.",
    )
    push_allow: Words = Field(
        (), description="Addresses or networks of push services of your own, which may then be private."
    )
    public_url: str = Field(
        "", description="Where people open the console, such as `https://sync.example.com`: for links in mails."
    )
    console: Path | None = Field(
        None, description="A folder with another build of the console. Without one, the console that came along."
    )
    log_format: Literal["console", "json"] = Field("console", description="How the log looks: for people, or JSON.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    drain_timeout_s: float = Field(
        10.0, ge=0, description="At a shutdown, how long requests under way may take to finish, in seconds."
    )
    limits: dict[str, float] = Field(
        default_factory=dict,
        description="Bounds that differ from their defaults, such as `SYNCD_LIMITS__SESSION_BYTES_MAX=1000000`.",
    )

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            if parse_origin(item) is None:
                raise ValueError("write an origin as https://host or http://host:port, with no path and no '*'")
        return tuple(origin for item in value if (origin := parse_origin(item)) is not None)

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(parse_origin(f"http://{item}") != f"http://{item.lower()}" or item.count(":") for item in value):
            raise ValueError("write a host name alone, such as sync.example.com, with no scheme and no port")
        return value

    @field_validator("push_contact")
    @classmethod
    def _contact(cls, value: str) -> str:
        if value and not re.fullmatch(r"mailto:[^@\s]+@[^@\s]+|https://[^\s@]+", value):
            raise ValueError("write mailto:NAME@HOST, or https:// and where to find you")
        return value

    @field_validator("public_url")
    @classmethod
    def _public(cls, value: str) -> str:
        if value and parse_origin(value.rstrip("/")) is None:
            raise ValueError("write it as https://host or http://host:port, with no path")
        return value.rstrip("/")

    @field_validator("trusted_proxies", "push_allow")
    @classmethod
    def _proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            try:
                ipaddress.ip_network(item, strict=False)
            except ValueError:
                raise ValueError("write an address or a network, such as 10.0.0.7 or 10.0.0.0/8") from None
        return value

    @field_validator("limits")
    @classmethod
    def _limits(cls, value: dict[str, float]) -> dict[str, float]:
        for name, number in value.items():
            if name not in _LIMIT_NAMES:
                close = difflib.get_close_matches(name, _LIMIT_NAMES, 1)
                raise ValueError(f"there is no limit {name!r}" + (f"; is it {close[0]!r}?" if close else ""))
            whole = name in _WHOLE_LIMITS
            if not 0 < number < float("inf") or (whole and number != int(number)):
                raise ValueError(f"{name} is a positive {'whole ' if whole else ''}number")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.dev and not is_loopback(self.host):
            # Invariant 2.
            raise ValueError(
                f"the development mode lets everybody do everything, so it only listens on this machine, not on "
                f"{self.host}: set SYNCD_HOST=127.0.0.1, or turn it off and set SYNCD_KEYS"
            )
        if not self.signing_keys() and not self.dev:
            # Invariant 1.
            raise ValueError(
                "no keys to check tokens with: set SYNCD_KEYS or SYNCD_KEYS_FILE (make one: syncd key), "
                "or try it out on this machine with --dev (SYNCD_DEV=1)"
            )
        return self

    def signing_keys(self) -> tuple[Key, ...]:
        """Return the keys that verify tokens; the first that can sign does. Reads the files named.

        Raises:
            ValueError: a key or a file is unusable.
        """
        return parse_keys(
            _secret("SYNCD_KEYS", self.keys, self.keys_file),
            _secret("SYNCD_PUBLIC_KEY", self.public_key, self.public_key_file),
            self.public_key_id,
        )

    def make_limits(self) -> Limits:
        """Return the bounds, those set here in place of their defaults."""
        changes: dict[str, Any] = {
            name: int(number) if name in _WHOLE_LIMITS else number for name, number in self.limits.items()
        }
        return dataclasses.replace(Limits(), **changes)

    @property
    def revocations_path(self) -> Path:
        """Where the revocation list is kept: next to the store."""
        return self.store.with_name(self.store.name + ".revoked.json")

    @property
    def push_key_path(self) -> Path:
        """Where the key for pushes is kept: next to the store."""
        return self.store.with_name(self.store.name + ".push.pem")


def load(**values: Any) -> Settings:
    """Return the settings: `values` first (None means not given), then the environment, then the defaults.

    Raises:
        ConfigError: one or more cannot be used.
    """
    try:
        return Settings(**{name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        lines = []
        for problem in problems_of(error):
            name = "__".join(problem.path).upper()
            lines.append(f"SYNCD_{name}: {problem.message}" if name else problem.message)
        raise ConfigError("\n".join(lines)) from None


def _secret(name: str, value: SecretStr, file: Path | None) -> str:
    if file is None:
        return value.get_secret_value()
    if value.get_secret_value():
        raise ValueError(f"set {name} or {name}_FILE, not both")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}_FILE: {file} cannot be read ({type(error).__name__})") from None
