from __future__ import annotations

import logging

import pytest

from gateway.routing.flags import FlagSource
from gateway.routing.overrides import PLAN_AUTHOR
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.router import Router, configured_backends
from gateway.routing.stages import REDIS, TEMPORAL, Stage
from gateway.routing.testing import StaticFlags, StaticOverrides
from gateway.settings import Settings

BOTH = frozenset({REDIS, TEMPORAL})
ACME = RouteQuery("acme", "add_episode", "1", "p1", plan=None)


def test_the_flag_decides() -> None:
    flags = StaticFlags()
    router = Router(flags, None, BOTH)
    assert router.route(ACME).backend == REDIS
    flags.put(Scope("acme"), Stage.RAMPDOWN)
    route = router.route(ACME)
    assert (route.backend, route.stage, route.effective) == (TEMPORAL, Stage.RAMPDOWN, Stage.RAMPDOWN)
    assert (route.source, route.usable, route.problem) == ("flag", True, None)
    assert route.flag is not None


def test_an_override_stands_above_the_flag() -> None:
    flags, overrides = StaticFlags(Stage.COMPLETE), StaticOverrides()
    router = Router(flags, overrides, BOTH)
    overrides.put(Scope("acme"), Stage.OFF, why="errors", by="guardrail")
    for route in (router.route(ACME), router.explain(ACME)):
        assert (route.backend, route.source, route.flag) == (REDIS, "override", None)
        assert route.reason == "override for tenant acme by guardrail: errors"
    assert router.route(RouteQuery("globex", "add_episode", plan=None)).backend == TEMPORAL


def test_an_override_that_stands_in_for_the_flag_is_outranked_by_any_other() -> None:
    flags, overrides = StaticFlags(Stage.OFF), StaticOverrides()
    router = Router(flags, overrides, BOTH)
    overrides.put(Scope("acme"), Stage.LIVE, by=PLAN_AUTHOR)
    assert router.route(RouteQuery("acme", "backup", plan=None)).stage is Stage.LIVE
    overrides.put(Scope(None, None, "backup"), Stage.DUALWRITE)
    assert router.route(RouteQuery("acme", "backup", plan=None)).stage is Stage.DUALWRITE
    assert router.route(RouteQuery("acme", "search", plan=None)).stage is Stage.LIVE
    overrides.put(Scope(), Stage.OFF)
    assert router.route(RouteQuery("acme", "search", plan=None)).override == overrides.rows()[-1]
    assert router.route(RouteQuery("acme", "backup", plan=None)).stage is Stage.DUALWRITE


def test_the_most_specific_override_wins() -> None:
    overrides = StaticOverrides()
    overrides.put(Scope(), Stage.OFF)
    overrides.put(Scope("acme"), Stage.LIVE)
    overrides.put(Scope("acme", None, "backup"), Stage.COMPLETE)
    router = Router(StaticFlags(), overrides, BOTH)
    asked = [
        RouteQuery("x", "backup", plan=None),
        RouteQuery("acme", "other", plan=None),
        RouteQuery("acme", "backup", plan=None),
    ]
    assert [router.route(query).stage for query in asked] == [Stage.OFF, Stage.LIVE, Stage.COMPLETE]


def test_without_a_flag_the_default_is_off() -> None:
    router = Router(FlagSource(), None, BOTH)
    for route in (router.route(ACME), router.explain(ACME)):
        assert (route.backend, route.stage, route.source) == (REDIS, Stage.OFF, "default")
        assert "no flag has been set yet" in route.reason


def test_a_backend_that_is_not_configured_makes_tasks_wait_and_is_reported() -> None:
    flags, overrides = StaticFlags(), StaticOverrides()
    router = Router(flags, overrides, frozenset({REDIS}))
    assert router.problems() == []
    flags.put(Scope("acme"), Stage.LIVE)
    flags.put(Scope("globex"), Stage.LIVE)
    overrides.put(Scope("initech"), Stage.COMPLETE)
    route = router.route(ACME)
    assert (route.backend, route.usable) == (TEMPORAL, False)
    assert route.problem == "stage live asks for temporal, which is not configured here; its tasks wait"
    assert router.problems() == [
        "flag task-backend: stage live (tenant acme, tenant globex) asks for temporal, which is not configured; "
        "its tasks wait",
        "override: stage complete (tenant initech) asks for temporal, which is not configured; its tasks wait",
    ]
    assert router.route(RouteQuery("umbrella", "x", plan=None)).usable


def test_in_brief_no_tenant_is_named_and_nobody_else_is_quoted() -> None:
    flags, overrides = StaticFlags(), StaticOverrides()
    router = Router(flags, overrides, frozenset({REDIS}))
    assert router.problems_in_brief() == []
    flags.put(Scope("acme"), Stage.LIVE)
    flags.put(Scope("globex"), Stage.LIVE)
    overrides.put(Scope("initech"), Stage.COMPLETE)
    flags.trouble = "LaunchDarkly is not connected (NETWORK_ERROR: acme.example); the last known flags stay in force"
    assert router.problems_in_brief() == [
        "the flag may not be up to date",
        "flag task-backend: stage live (in force for 2) asks for temporal, which is not configured; its tasks wait",
        "override: stage complete (in force for 1) asks for temporal, which is not configured; its tasks wait",
    ]


def test_a_long_list_is_counted() -> None:
    flags = StaticFlags()
    router = Router(flags, None, frozenset({REDIS}))
    for number in range(1000):
        flags.put(Scope(f"t{number}"), Stage.LIVE) if number < 20 else None
    assert "tenant t0, tenant t1, tenant t10, tenant t11, tenant t12 and 15 more" in router.problems()[0]


def test_without_redis_the_stage_off_waits() -> None:
    router = Router(FlagSource(), None, frozenset({TEMPORAL}))
    assert router.route(ACME).problem == "stage off asks for redis, which is not configured here; its tasks wait"
    assert "stage off (default) asks for redis" in router.problems()[0]


def test_a_problem_is_logged_once_per_change(caplog: pytest.LogCaptureFixture) -> None:
    flags = StaticFlags()
    router = Router(flags, None, frozenset({REDIS}))

    def said() -> list[str]:
        return [one.getMessage() for one in caplog.records if one.name == "gateway.routing.router"]

    with caplog.at_level(logging.INFO, "gateway.routing.router"):
        flags.put(Scope("acme"), Stage.LIVE)
        for _ in range(50):
            router.route(ACME)
            router.problems()
        flags.put(Scope("acme"), Stage.LIVE)
        assert len(said()) == 1
        flags.put(Scope("globex"), Stage.LIVE)
        assert len(said()) == 2
        flags.put(Scope("acme"), Stage.OFF)
        flags.put(Scope("globex"), Stage.OFF)
    assert said()[-1] == "Every stage asked for has its backend again"


def test_what_keeps_the_flags_from_being_up_to_date_is_a_problem() -> None:
    flags = StaticFlags()
    flags.trouble = "flag file x: it is gone"
    assert Router(flags, None, BOTH).problems() == ["flag file x: it is gone"]


def test_configured_backends() -> None:
    assert configured_backends(Settings(redis_url=None, temporal_address=None)) == frozenset()
    assert configured_backends(Settings(redis_url="redis://x", temporal_address="x:1")) == BOTH
