"""RuleBook: all rules by name, wherever they came from, and how those that were put are kept.

Knows nothing of events.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import structlog
from pydantic import ValidationError

from syncd.core.errors import SyncdError
from syncd.server.hooks.rules import Rule
from syncd.store.outbox import HookStore

_log = structlog.get_logger("syncd.hooks")

#: Rules that may be put beside those of the file: each is looked at for each event.
RULES_MAX: Final = 200
FILE: Final = "file"
PYTHON: Final = "python"
REST: Final = "rest"


class RuleRefused(SyncdError):
    """A rule cannot be put or dropped; the message says why."""


class RuleBook:
    """The rules.

    1. A rule's name is its own: what the file or the program says cannot be replaced by REST.
    2. What is put is on disk before it counts.
    """

    def __init__(self, store: HookStore, rules: Iterable[Rule] = ()) -> None:
        self._store = store
        self._rules: dict[str, tuple[Rule, str]] = {rule.name: (rule, FILE) for rule in rules}
        self._by_type: dict[str, list[Rule]] = {}

    def __iter__(self) -> Iterator[Rule]:
        return iter([rule for rule, _ in self._rules.values()])

    def __len__(self) -> int:
        return len(self._rules)

    def on(self, type: str) -> list[Rule]:
        """Return the rules about events of a type."""
        found = self._by_type.get(type)
        if found is None:
            found = self._by_type[type] = [rule for rule in self if rule.is_on(type)]
        return found

    def _set(self, rule: Rule, source: str) -> None:
        self._rules[rule.name] = (rule, source)
        self._by_type.clear()

    def get(self, name: str) -> Rule | None:
        """Return a rule, None if there is none of that name."""
        return self._rules.get(name, (None, ""))[0]

    def sources(self) -> Mapping[str, tuple[Rule, str]]:
        """Return all rules by name, with where they came from."""
        return dict(self._rules)

    def add(self, rule: Rule) -> None:
        """Take a rule of the program itself.

        Raises:
            RuleRefused: there is one of that name.
        """
        if rule.name in self._rules:
            raise RuleRefused(f"there is a rule named {rule.name} already: give this one another name")
        self._set(rule, PYTHON)

    async def load(self) -> None:
        """Take those that were put. The store is open."""
        for name, data in (await self._store.rules()).items():
            try:
                rule = Rule.model_validate_json(data)
            except ValidationError:
                _log.warning("hook_rule_ignored", rule=name, reason="it does not read: put it again")
                continue
            if name in self._rules:
                _log.warning("hook_rule_ignored", rule=name, reason="the configuration has one of that name")
            else:
                self._set(rule, REST)

    async def put(self, rule: Rule) -> None:
        """Put a rule, in place of the one of that name.

        Raises:
            RuleRefused: there are too many, or the name is one of the configuration's.
        """
        _, source = self._rules.get(rule.name, (None, REST))
        if source != REST:  # Invariant 1.
            raise RuleRefused(f"{rule.name} is a rule of the server's configuration: change it there")
        if rule.name not in self._rules and len(self._rules) >= RULES_MAX:
            raise RuleRefused(f"there are {RULES_MAX} rules already: drop one first")
        await self._store.put_rule(rule.name, rule.model_dump_json().encode())  # Invariant 2.
        self._set(rule, REST)

    async def drop(self, name: str) -> bool:
        """Drop a rule that was put; return whether there was one.

        Raises:
            RuleRefused: it is one of the configuration's.
        """
        rule, source = self._rules.get(name, (None, REST))
        if rule is not None and source != REST:  # Invariant 1.
            raise RuleRefused(f"{name} is a rule of the server's configuration: take it out there")
        dropped = await self._store.drop_rule(name)
        self._rules.pop(name, None)
        self._by_type.clear()
        return dropped
