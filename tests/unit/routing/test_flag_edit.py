from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.routing.errors import FlagChangeRefused
from gateway.routing.flag_document import check_flag
from gateway.routing.flag_edit import new_flag, settings_of, with_rollout, with_stage, without_stage
from gateway.routing.flag_text import describe_default, describe_scope, foreign_rules
from gateway.routing.query import RouteQuery, Scope, scopes_of
from gateway.routing.stages import Stage

KEY = "task-backend"
stages = st.sampled_from(list(Stage))
names = st.one_of(st.none(), st.sampled_from(["x", "y"]))
scopes = st.builds(Scope, names, names, names)
queries = st.builds(RouteQuery, tenant_id=names, task_type=st.sampled_from(["x", "y"]), project_id=names)
with_sdk = settings(max_examples=60)

GOLD_RULE = {
    "id": "by-hand",
    "variation": 5,
    "clauses": [{"contextKind": "tenant", "attribute": "tier", "op": "in", "values": ["vip"]}],
}


def flag_with(chosen: list[tuple[Scope, Stage]]) -> dict[str, Any]:
    flag = new_flag(KEY)
    for scope, stage in chosen:
        flag = with_stage(flag, scope, stage)
    return flag


@given(st.lists(st.tuples(scopes, stages), max_size=8), st.lists(queries, min_size=1, max_size=12))
@with_sdk
def test_the_most_specific_setting_wins_in_the_sdks_eyes(
    sdk_stages: Any, chosen: list[tuple[Scope, Stage]], asked: list[RouteQuery]
) -> None:
    flag = flag_with(chosen)
    check_flag(flag)
    meant = {Scope(): Stage.OFF, **dict(chosen)}
    expected = [next(meant[scope] for scope in scopes_of(query) if scope in meant) for query in asked]
    assert sdk_stages(flag, asked) == expected


@given(st.lists(st.tuples(scopes.filter(lambda scope: not scope.is_default), stages), max_size=8))
def test_settings_can_be_read_back_and_taken_away(chosen: list[tuple[Scope, Stage]]) -> None:
    flag, meant = flag_with(chosen), dict(chosen)
    assert settings_of(flag) == meant
    for scope in list(meant):
        flag = without_stage(flag, scope)
        del meant[scope]
        assert settings_of(flag) == meant
    assert flag == new_flag(KEY)


def test_a_tenants_stage_is_an_individual_target() -> None:
    flag = flag_with([(Scope("acme"), Stage.LIVE), (Scope("globex"), Stage.LIVE), (Scope(None, "p1"), Stage.OFF)])
    assert flag["rules"] == []
    assert flag["contextTargets"] == [
        {"contextKind": "project", "variation": 0, "values": ["p1"]},
        {"contextKind": "tenant", "variation": 3, "values": ["acme", "globex"]},
    ]


def test_what_other_hands_wrote_stays(sdk_stages: Any) -> None:
    foreign_target = {"contextKind": "task", "variation": 5, "values": ["special"]}
    flag = new_flag(KEY) | {"rules": [GOLD_RULE], "contextTargets": [foreign_target], "debugEventsUntilDate": 5}
    flag = with_stage(flag, Scope("acme"), Stage.LIVE)
    flag = with_stage(flag, Scope("acme", None, "backup"), Stage.OFF)
    assert flag["debugEventsUntilDate"] == 5
    assert foreign_rules(flag) == ["tenant tier vip: complete"]
    vip = RouteQuery("other", "backup", plan="vip")
    answers = sdk_stages(
        flag,
        [
            RouteQuery("acme", "x", plan=None),
            RouteQuery("acme", "backup", plan=None),
            vip,
            RouteQuery("o", "x", plan=None),
        ],
    )
    assert answers == [Stage.LIVE, Stage.OFF, Stage.COMPLETE, Stage.OFF]
    assert sdk_stages(flag, [RouteQuery("acme", "backup", "special", plan=None)]) == [Stage.COMPLETE]


def test_an_own_rule_that_somebody_reshaped_is_no_longer_taken_for_own() -> None:
    flag = flag_with([(Scope(task_type="backup"), Stage.LIVE)])
    flag["rules"][0]["clauses"][0]["negate"] = True
    assert settings_of(flag) == {}
    changed = with_stage(flag, Scope("acme"), Stage.LIVE)
    assert changed["rules"] == flag["rules"]


def test_a_missing_variation_is_added(sdk_stages: Any) -> None:
    flag = new_flag(KEY) | {"variations": ["off", "live"], "fallthrough": {"variation": 1}}
    flag = with_stage(flag, Scope("acme"), Stage.COMPLETE)
    assert flag["variations"] == ["off", "live", "complete"]
    assert sdk_stages(flag, [RouteQuery("acme", "x", plan=None), RouteQuery("o", "x", plan=None)]) == [
        Stage.COMPLETE,
        Stage.LIVE,
    ]


def test_unset_of_what_is_not_set_is_refused() -> None:
    with pytest.raises(FlagChangeRefused, match="nothing is set for tenant acme"):
        without_stage(new_flag(KEY), Scope("acme"))


# Percentages ------------------------------------------------------------------------------------------------

TENANTS = [RouteQuery(f"tenant-{number}", "x", plan=None) for number in range(300)]
TASKS = [RouteQuery("acme", "x", f"task-{number}", plan=None) for number in range(300)]


@given(st.integers(0, 2**31 - 1), st.lists(st.floats(0.001, 99.999), min_size=2, max_size=4), st.booleans())
@settings(max_examples=15)
def test_percentages_are_stable_and_monotone(sdk_stages: Any, seed: int, percents: list[float], by_task: bool) -> None:
    by, population = ("task", TASKS) if by_task else ("tenant", TENANTS)
    flag, moved, percent_before = new_flag(KEY), set[int](), 0.0
    for percent in percents:
        flag = with_rollout(flag, Stage.LIVE, percent, by=by, seed=seed)
        check_flag(flag)
        answers = sdk_stages(flag, population)
        assert answers == sdk_stages(flag, population)
        moved_now = {number for number, stage in enumerate(answers) if stage is Stage.LIVE}
        assert abs(len(moved_now) - 3 * percent) < 45
        assert moved_now >= moved if percent >= percent_before else moved_now <= moved
        moved, percent_before = moved_now, percent


def test_the_way_back_takes_the_last_ones_first(sdk_stages: Any) -> None:
    there = with_rollout(new_flag(KEY), Stage.LIVE, 30, by="tenant", seed=7)
    back = with_rollout(there, Stage.OFF, 90, by="tenant", seed=7)
    first, last = sdk_stages(there, TENANTS), sdk_stages(back, TENANTS)
    assert all(before is Stage.LIVE for before, after in zip(first, last, strict=True) if after is Stage.LIVE)
    assert last.count(Stage.LIVE) < first.count(Stage.LIVE)


def test_the_seed_stays_when_the_percentage_changes() -> None:
    flag = with_rollout(new_flag(KEY), Stage.LIVE, 25, by="tenant", seed=7)
    flag = with_rollout(flag, Stage.LIVE, 50, by="tenant", seed=8)
    assert flag["fallthrough"]["rollout"]["seed"] == 7
    assert describe_default(flag) == "off 50 %, live 50 % by tenant"


def test_a_task_without_a_tenant_stays_at_the_old_stage(sdk_stages: Any) -> None:
    flag = with_rollout(new_flag(KEY), Stage.LIVE, 99.999, by="tenant", seed=1)
    assert sdk_stages(flag, [RouteQuery(None, "x", "1", plan=None)]) == [Stage.OFF]


def test_the_ends_of_a_rollout_are_plain_stages() -> None:
    flag = with_rollout(new_flag(KEY), Stage.LIVE, 25, by="tenant", seed=7)
    assert with_rollout(flag, Stage.LIVE, 100, by="tenant", seed=7)["fallthrough"] == {"variation": 3}
    assert with_rollout(flag, Stage.LIVE, 0, by="tenant", seed=7)["fallthrough"] == {"variation": 0}
    assert describe_scope(flag, Scope()) == "off 75 %, live 25 % by tenant"


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), float("inf")])
def test_no_percentage(percent: float) -> None:
    with pytest.raises(FlagChangeRefused, match="is not a percentage"):
        with_rollout(new_flag(KEY), Stage.LIVE, percent, by="tenant", seed=1)


def test_a_rollout_to_where_everybody_is_already_is_refused() -> None:
    with pytest.raises(FlagChangeRefused, match="the default is off for all already"):
        with_rollout(new_flag(KEY), Stage.OFF, 10, by="tenant", seed=1)


def test_a_rollout_to_a_third_stage_is_refused() -> None:
    flag = with_rollout(new_flag(KEY), Stage.LIVE, 25, by="tenant", seed=7)
    with pytest.raises(FlagChangeRefused, match="a rollout between off and live is under way"):
        with_rollout(flag, Stage.COMPLETE, 25, by="tenant", seed=7)
