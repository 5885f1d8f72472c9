from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.migration.ledger.entries import EntriesInForce, InForce
from gateway.routing.overrides import PLAN_AUTHOR, Override
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.rules import rule_of
from gateway.routing.scope_names import scope_name, scope_of
from gateway.routing.stages import Stage

QUERY = RouteQuery("acme", "backup", "t", "p1", plan=None)
FALLTHROUGH = {"kind": "FALLTHROUGH"}
TARGET = {"kind": "TARGET_MATCH"}


def entries(flag: dict[str, InForce], overrides: dict[str, InForce] | None = None) -> EntriesInForce:
    found = EntriesInForce()
    found.put("flag", flag)
    found.put("override", overrides or {})
    return found


def test_it_is_ready_once_both_layers_were_read() -> None:
    found = EntriesInForce()
    assert not found.is_ready
    found.put("flag", {})
    assert not found.is_ready
    found.put("override", {})
    assert found.is_ready


def override_at(scope: Scope, *, by: str = "ada") -> Override:
    return Override(scope, Stage.LIVE, "why", by, datetime.now(UTC))


@pytest.mark.parametrize(
    ("flag", "overrides", "override", "reason", "entry"),
    [
        ({"default": InForce("off", 1)}, {}, None, FALLTHROUGH, 1),
        # What others are set to does not matter, nor does what stands behind the setting that decided.
        ({"default": InForce("off", 1), "tenant:globex": InForce("live", 2)}, {}, None, FALLTHROUGH, 1),
        ({"tenant:acme": InForce("live", 2), "default": InForce("off", 9)}, {}, None, TARGET, 2),
        # What was taken away since does.
        ({"default": InForce("off", 1), "tenant:acme": InForce("", 4)}, {}, None, FALLTHROUGH, 4),
        ({"default": InForce("off", 1)}, {"tenant:acme": InForce("", 5)}, None, FALLTHROUGH, 5),
        ({"tenant:acme": InForce("live", 2), "project:p1": InForce("", 6)}, {}, None, TARGET, 6),
        # An override that has expired, and is not yet recorded as such.
        ({"default": InForce("off", 1)}, {"tenant:acme": InForce("live", 5)}, None, FALLTHROUGH, 1),
        ({}, {"tenant:acme": InForce("live", 5), "default": InForce("off", 7)}, Scope("acme"), None, 5),
        ({}, {"tenant:acme": InForce("", 5), "default": InForce("off", 3)}, Scope(), None, 5),
        ({"all": InForce("off", 8), "default": InForce("live", 1)}, {}, None, {"kind": "OFF"}, 8),
        ({"all": InForce("", 8), "default": InForce("live", 1)}, {}, None, FALLTHROUGH, 8),
        ({"all": InForce("off", 1)}, {}, None, None, 1),
        (
            {"rule:vips": InForce("tenant tier vip: live", 3), "default": InForce("off", 9)},
            {},
            None,
            {"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "vips"},
            3,
        ),
        (
            {"type:backup": InForce("live", 3), "default": InForce("off", 9)},
            {},
            None,
            {"kind": "RULE_MATCH", "ruleIndex": 0, "ruleId": "taskgate:task:live"},
            3,
        ),
        (
            {"conditions": InForce("ab12", 4), "default": InForce("off", 1)},
            {},
            None,
            {"kind": "PREREQUISITE_FAILED", "prerequisiteKey": "gate"},
            4,
        ),
        ({"conditions": InForce("ab12", 4), "default": InForce("off", 1, "file:1")}, {}, None, FALLTHROUGH, 4),
        # The first version of a flag brings its conditions along.
        (
            {"tenant:acme": InForce("live", 3, "file:1"), "conditions": InForce("ab12", 5, "file:1")},
            {},
            None,
            TARGET,
            3,
        ),
        ({}, {}, None, FALLTHROUGH, None),
    ],
)
def test_the_newest_entry_that_led_there(
    flag: dict[str, InForce],
    overrides: dict[str, InForce],
    override: Scope | None,
    reason: dict[str, Any] | None,
    entry: int | None,
) -> None:
    found = entries(flag, overrides)
    row = None if override is None else override_at(override)
    assert found.find(QUERY, row, reason) == entry
    assert found.find(QUERY, row, reason) == entry


def test_an_override_that_stands_in_for_the_flag_decides_since_the_others_are_gone() -> None:
    """A person puts everybody at `off`, above what a plan set, and clears that: who is back is so because of that."""
    found = entries(
        {}, {"tenant:acme": InForce("live", 10), "type:backup": InForce("", 30), "default": InForce("", 20)}
    )
    assert found.find(QUERY, override_at(Scope("acme"), by=PLAN_AUTHOR), None) == 30
    # A person's was in force all along.
    assert found.find(QUERY, override_at(Scope("acme")), None) == 10
    # What has expired, and is not yet recorded as such.
    found.put("override", {"tenant:acme": InForce("live", 10), "default": InForce("off", 20)})
    assert found.find(QUERY, override_at(Scope("acme"), by=PLAN_AUTHOR), None) == 10


def test_what_is_remembered_is_forgotten_with_the_next_entry() -> None:
    found = entries({"default": InForce("off", 1)})
    assert found.find(QUERY, None, FALLTHROUGH) == 1
    found.put("flag", {"default": InForce("live", 2)})
    assert found.find(QUERY, None, FALLTHROUGH) == 2


@pytest.mark.parametrize(
    ("override", "reason", "rule"),
    [
        (Scope("acme"), None, "override tenant:acme"),
        (Scope(), None, "override default"),
        (None, None, "no flag"),
        (None, TARGET, "target"),
        (None, FALLTHROUGH, "fallthrough"),
        (None, {"kind": "OFF"}, "off"),
        (None, {"kind": "RULE_MATCH", "ruleIndex": 2, "ruleId": "vips"}, "rule vips"),
        (None, {"kind": "RULE_MATCH", "ruleIndex": 2}, "rule 2"),
        (None, {"kind": "PREREQUISITE_FAILED", "prerequisiteKey": "gate"}, "prerequisite gate"),
        (None, {"kind": "ERROR", "errorKind": "WRONG_TYPE"}, "error"),
    ],
)
def test_rules_in_words(override: Scope | None, reason: dict[str, Any] | None, rule: str) -> None:
    assert rule_of(override, reason) == rule


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        (Scope(), "default"),
        (Scope("acme"), "tenant:acme"),
        (Scope("acme", "p1", "backup"), "project:p1,tenant:acme,type:backup"),
        (Scope("a,b:c%"), "tenant:a%2Cb:c%25"),
    ],
)
def test_scopes_have_names(scope: Scope, name: str) -> None:
    assert (scope_name(scope), scope_of(name)) == (name, scope)
