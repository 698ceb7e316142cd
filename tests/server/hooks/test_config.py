"""The file of hooks: what it says, where its secrets come from, and what is said of one that cannot be used."""

from pathlib import Path

import pytest

from syncd.server.hooks.config import RETRY_S, HooksConfigError, load_hooks
from tests.server.hooks.bench import OTHER_SECRET, SECRET

WHOLE = f"""
[hooks]
allow = ["10.0.0.0/8", "::1"]

[[hooks.targets]]
name = "crm"
channel = "webhook"
url = "https://crm.example.com/hook"
secrets = ["env:CRM_KEY", "file:FOLDER/key"]
concurrency = 4

[[hooks.targets]]
name = "planner"
channel = "wake"
agent = "agent:planner"
url = "env:PLANNER_URL"
secrets = ["{SECRET}"]

[[hooks.rules]]
name = "ended"
on = ["run.*"]
channel = "webhook"
target = "crm"
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "hooks.toml"
    file.write_text(text.replace("FOLDER", str(folder)))
    return file


def test_a_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values from the file, from variables and from other files."""
    monkeypatch.setenv("CRM_KEY", SECRET)
    monkeypatch.setenv("PLANNER_URL", "https://planner.example.com/SECRET-PATH")
    (tmp_path / "key").write_text(OTHER_SECRET + "\n")
    config = load_hooks(write(tmp_path, WHOLE))
    targets = config.make_targets()
    crm, planner = targets["crm"][0], targets["planner"][0]

    assert (crm.url, crm.concurrency, crm.per_s, crm.timeout_s) == ("https://crm.example.com/hook", 4, 50, 15)
    assert len(crm.secrets) == 2
    assert (planner.url, targets["planner"][1]) == ("https://planner.example.com/SECRET-PATH", "agent:planner")
    assert config.retry_s == RETRY_S
    assert [rule.name for rule in config.rules] == ["ended"]
    assert "SECRET-PATH" not in repr(config)
    assert SECRET not in repr(config)


def test_without_a_file_nobody_is_told() -> None:
    """No rules, no targets."""
    config = load_hooks(None)

    assert (config.rules, config.targets) == ((), ())


def test_a_demo_tells_whoever_asked_unless_a_file_says_otherwise(tmp_path: Path) -> None:
    """So that it can be tried without writing anything; a file's rules are all there are."""
    assert [rule.name for rule in load_hooks(None, demo=True).rules] == ["done"]
    assert [rule.name for rule in load_hooks(write(tmp_path, WHOLE), demo=True).rules] == [
        rule.name for rule in load_hooks(write(tmp_path, WHOLE)).rules
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[hooks]", "[hoks]"), "there is no table [hoks]"),
        (('name = "ended"', 'name = "no name"'), "hooks.rules.0.name: a name is 1 to 64 characters"),
        (('on = ["run.*"]', 'on = ["run.finished"]'), "hooks.rules.0.on.0: there is no such type of event"),
        (('"10.0.0.0/8"', '"10.0.0.0/99"'), "hooks: '10.0.0.0/99' does not appear to be an IPv4 or IPv6 network"),
        (("concurrency = 4", "concurrency = 0"), "hooks.targets.0.concurrency"),
        (("concurrency = 4", "colour = 4"), "hooks.targets.0.colour"),
        (('agent = "agent:planner"', ""), "an agent is named for the channel wake"),
        (('name = "planner"', 'name = "crm"'), "there are two targets named crm"),
        (('secrets = ["env:CRM_KEY", "file:FOLDER/key"]', ""), "has no secret to sign with"),
        (("[hooks]", "[hooks"), "is not TOML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    """With where it stands, and no secret."""
    with pytest.raises(HooksConfigError) as refused:
        load_hooks(write(tmp_path, WHOLE.replace(*change)))

    assert said in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CRM_KEY", "", "the variable CRM_KEY is not set"),
        ("CRM_KEY", "whsec_c2hvcnQ=", "a secret is whsec_ and 24 to 64 bytes"),
        ("CRM_KEY", SECRET.removeprefix("whsec_"), "a secret is whsec_"),
        ("PLANNER_URL", "https://10.9.8.7/x", ""),
        ("PLANNER_URL", "https://127.0.0.1/SECRET-PATH", "target planner: 127.0.0.1 is not public"),
        ("PLANNER_URL", "http://192.168.0.1/", "192.168.0.1 is not public: put it on the allow-list"),
        ("PLANNER_URL", "http://93.184.216.34/", "http:// is not good enough"),
        ("PLANNER_URL", "https://user:pw@example.com/", "leave them out"),
    ],
)
def test_what_is_named_elsewhere_is_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """At the start, not at the first webhook."""
    monkeypatch.setenv("CRM_KEY", SECRET)
    monkeypatch.setenv("PLANNER_URL", "https://planner.example.com/")
    monkeypatch.setenv(name, value)
    (tmp_path / "key").write_text(OTHER_SECRET)
    config = load_hooks(write(tmp_path, WHOLE))
    if not said:
        config.make_targets()
        return
    with pytest.raises(HooksConfigError) as refused:
        config.make_targets()

    assert said in str(refused.value)
    assert "SECRET-PATH" not in str(refused.value)


def test_a_wrong_item_is_one_problem(tmp_path: Path) -> None:
    """That the list is empty without it is none of its own; that it is empty from the start is."""
    for types, problems in (('"run.endet"', ["on.0: there is no such type"]), ("", ["on: Tuple should have"])):
        with pytest.raises(HooksConfigError) as refused:
            load_hooks(
                write(tmp_path, f'[[hooks.rules]]\nname = "r"\non = [{types}]\nchannel = "push"\nwhom = ["asker"]')
            )

        lines = [line.partition("hooks.rules.0.")[2] for line in str(refused.value).splitlines()]
        assert [line[: len(problem)] for line, problem in zip(lines, problems, strict=True)] == problems


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Of hooks, and of a key."""
    with pytest.raises(HooksConfigError, match="cannot be read"):
        load_hooks(tmp_path / "none.toml")
