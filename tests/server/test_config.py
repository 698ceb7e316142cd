"""The settings of the server."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from syncd.core.limits import DEFAULT_LIMITS, Limits
from syncd.server.config import ConfigError, Settings, load
from tests.server.fakes import SECRET


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SYNCD_")]:
        monkeypatch.delenv(name)


def assert_refused(*parts: str, **values: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        load(**values)
    for part in parts:
        assert part in str(caught.value)


def test_defaults_are_safe() -> None:
    """Loopback, no development mode, no foreign origins."""
    settings = load(keys=SECRET)

    assert (settings.host, settings.port, settings.store) == ("127.0.0.1", 8484, Path("syncd.db"))
    assert not settings.dev
    assert settings.allowed_origins == settings.allowed_hosts == settings.trusted_proxies == ()
    assert settings.make_limits() == DEFAULT_LIMITS
    assert settings.revocations_path == Path("syncd.db.revoked.json")


def test_every_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lists by commas or spaces, limits by two underscores."""
    (tmp_path / "keys").write_text(f"new:{SECRET}\nold:{SECRET}\n")
    values = {
        "HOST": "0.0.0.0",
        "PORT": "9000",
        "STORE": "/var/lib/syncd/s.db",
        "KEYS_FILE": str(tmp_path / "keys"),
        "PUBLIC_KEY_ID": "k",
        "ISSUER": "me",
        "AUDIENCE": "us",
        "TOKEN_TTL_MAX_S": "3600",
        "INVITE_TTL_MAX_S": "3600",
        "DEV": "false",
        "ALLOWED_ORIGINS": "https://a.example, http://b.example:8080",
        "ALLOWED_HOSTS": "sync.example other.example",
        "TRUSTED_PROXIES": "10.0.0.0/8,::1",
        "HOOKS": str(tmp_path / "hooks.toml"),
        "PUSH": "false",
        "PUSH_CONTACT": "mailto:ops@example.com",
        "PUSH_ALLOW": "10.1.0.0/16",
        "PUBLIC_URL": "https://sync.example/",
        "CONSOLE": str(tmp_path),
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "debug",
        "DRAIN_TIMEOUT_S": "3",
        "LIMITS__SESSION_BYTES_MAX": "1000000",
        "LIMITS__HELLO_TIMEOUT_S": "2.5",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"SYNCD_{name}", value)
    settings = load()

    assert settings.port == 9000
    assert settings.allowed_origins == ("https://a.example", "http://b.example:8080")
    assert settings.allowed_hosts == ("sync.example", "other.example")
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1")
    assert (settings.push, settings.push_allow) == (False, ("10.1.0.0/16",))
    assert settings.public_url == "https://sync.example"
    assert [key.kid for key in settings.signing_keys()] == ["new", "old"]
    limits = dataclasses.replace(Limits(), session_bytes_max=1_000_000, hello_timeout_s=2.5)
    assert settings.make_limits() == limits
    assert isinstance(settings.make_limits().session_bytes_max, int)
    named = {name.split("__")[0].lower() for name in values} | {"keys", "public_key", "public_key_file"}
    assert named == set(Settings.model_fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("push_contact", "ops@example.com"),
        ("push_contact", "http://example.com"),
        ("push_contact", "mailto:"),
        ("push_allow", "example.com"),
        ("public_url", "sync.example"),
        ("public_url", "https://sync.example/console"),
    ],
)
def test_what_push_services_and_people_are_told_is_checked(name: str, value: str) -> None:
    """A wrong one would be noticed by those alone who are told nothing, or the wrong thing."""
    assert_refused(f"SYNCD_{name.upper()}", keys=SECRET, **{name: value})


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As files of variables have them: what is not said is as usual, and no key is no empty key."""
    for name in ("HOOKS", "CONSOLE", "PORT", "PUBLIC_URL", "KEYS"):
        monkeypatch.setenv(f"SYNCD_{name}", "")
    settings = load(dev=True)
    assert (settings.hooks, settings.console, settings.port) == (None, None, 8484)
    with pytest.raises(ConfigError):
        load()


def test_given_values_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line wins; what it does not give is None."""
    monkeypatch.setenv("SYNCD_PORT", "9000")
    monkeypatch.setenv("SYNCD_KEYS", SECRET)

    assert load(port=1234).port == 1234
    assert load(port=None).port == 9000


def test_server_without_keys_does_not_start() -> None:
    """The message says how to make one and how to try without."""
    assert_refused("SYNCD_KEYS", "syncd key", "SYNCD_DEV=1")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])
def test_dev_mode_is_for_loopback_only(host: str) -> None:
    """Everybody may do everything, so nobody else may be able to connect."""
    assert_refused("development mode", "SYNCD_HOST=127.0.0.1", dev=True, host=host)
    assert_refused("development mode", dev=True, host=host, keys=SECRET)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_dev_mode_needs_no_keys(host: str) -> None:
    """On this machine alone it starts with nothing."""
    assert load(dev=True, host=host).signing_keys() == ()


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"port": 70_000}, ["SYNCD_PORT"]),
        ({"port": "http"}, ["SYNCD_PORT"]),
        ({"allowed_origins": "*"}, ["SYNCD_ALLOWED_ORIGINS", "https://host"]),
        ({"allowed_origins": "https://*.example.com"}, ["SYNCD_ALLOWED_ORIGINS"]),
        ({"allowed_origins": "app.example.com"}, ["SYNCD_ALLOWED_ORIGINS"]),
        ({"allowed_origins": "https://a.example/"}, ["SYNCD_ALLOWED_ORIGINS"]),
        ({"allowed_hosts": "https://a.example"}, ["SYNCD_ALLOWED_HOSTS", "no scheme"]),
        ({"allowed_hosts": "a.example:80"}, ["SYNCD_ALLOWED_HOSTS"]),
        ({"trusted_proxies": "proxy.internal"}, ["SYNCD_TRUSTED_PROXIES", "10.0.0.0/8"]),
        ({"log_format": "xml"}, ["SYNCD_LOG_FORMAT", "'console' or 'json'"]),
        ({"token_ttl_max_s": 0}, ["SYNCD_TOKEN_TTL_MAX_S"]),
        ({"limits": {"frame_byte_max": 1}}, ["SYNCD_LIMITS", "is it 'frame_bytes_max'?"]),
        ({"limits": {"frame_bytes_max": 0}}, ["frame_bytes_max", "positive whole"]),
        ({"limits": {"frame_bytes_max": 1.5}}, ["frame_bytes_max", "whole"]),
        ({"limits": {"hello_timeout_s": float("inf")}}, ["hello_timeout_s", "positive"]),
        ({"limits": {"hello_timeout_s": float("nan")}}, ["hello_timeout_s", "positive"]),
        ({"keys": "hunter2"}, ["key 1", "at least 32 bytes"]),
        ({"keys": f"{SECRET} {SECRET}"}, ["key id of its own"]),
        ({"public_key": "nonsense"}, ["public key"]),
        ({"keys_file": "/no/such/file", "keys": ""}, ["SYNCD_KEYS_FILE", "FileNotFoundError"]),
        ({"keys_file": "/no/such/file"}, ["SYNCD_KEYS", "not both"]),
    ],
)
def test_bad_value_is_explained(values: dict[str, Any], parts: list[str]) -> None:
    """Which setting, and what it should be."""
    assert_refused(*parts, **({"keys": SECRET} | values))


def test_several_bad_values_are_said_at_once() -> None:
    """One line for each."""
    assert_refused("SYNCD_PORT", "SYNCD_LOG_LEVEL", keys=SECRET, port=-1, log_level="loud")


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the settings nor by an error about them."""
    monkeypatch.setenv("SYNCD_KEYS", "hunter2")
    with pytest.raises(ConfigError) as caught:
        load(port=-1)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert SECRET not in repr(load(keys=SECRET))
    with pytest.raises(ValidationError) as direct:
        Settings.model_validate({"port": -1, "keys": "hunter2"})
    assert "hunter2" not in str(direct.value)
    assert "-1" not in str(direct.value)


def test_every_setting_is_explained() -> None:
    """A setting without a description cannot be released."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
