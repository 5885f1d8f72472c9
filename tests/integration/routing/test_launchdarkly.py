from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from gateway.routing.flag_edit import new_flag, with_rollout, with_stage
from gateway.routing.flags import FlagSource
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.stages import REDIS, TEMPORAL, Stage
from tests.integration.routing.conftest import connected
from workers.testing.waiting import News, until

KEY = "task-backend"
ACME = RouteQuery("acme", "add_episode", "task-1", "p1", plan="enterprise")
#: A change must be in force within this many seconds of LaunchDarkly's saying so.
IN_FORCE = 1.0
#: How long a test waits for what is not promised within a time.
PATIENCE = 10.0
#: A start must not be held up for longer (seconds), whatever LaunchDarkly does: by itself, the SDK would wait for five.
START = 4.0


def flag_with(version: int, *settings: tuple[Scope, Stage]) -> dict[str, Any]:
    flag = new_flag(KEY) | {"version": version}
    for scope, stage in settings:
        flag = with_stage(flag, scope, stage)
    return flag


class Watched:
    """A flag source on the stand-in, and the news of its listener."""

    def __init__(self, source: FlagSource) -> None:
        self.source = source
        news = News()
        source.add_listener(news.tell)
        self.until = news.until

    async def until_stage(self, stage: Stage) -> None:
        await self.until(lambda: self.stage() is stage)

    def stage(self, query: RouteQuery = ACME) -> Stage:
        return self.source.evaluate(query).stage


@pytest_asyncio.fixture
async def watched(launchdarkly: Any) -> AsyncIterator[Watched]:
    source = FlagSource(flag_key=KEY, sdk_key=launchdarkly.sdk_key, base_url=launchdarkly.url)
    yield Watched(source)
    await source.close()


async def start_in_time(source: FlagSource) -> None:
    began = time.monotonic()
    await source.start()
    assert time.monotonic() - began < START


async def test_flags_come_with_the_start(launchdarkly: Any, watched: Watched) -> None:
    launchdarkly.put(flag_with(1, (Scope("acme"), Stage.LIVE)))
    await connected(watched.source)
    assert watched.stage() is Stage.LIVE
    assert watched.stage(RouteQuery("globex", "x", plan=None)) is Stage.OFF
    assert watched.source.problem() is None
    assert watched.source.owner == "LaunchDarkly"
    assert (watched.source.document() or {})["version"] == 1


async def test_a_patch_is_in_force_within_a_second(launchdarkly: Any, watched: Watched) -> None:
    launchdarkly.put(flag_with(1))
    await connected(watched.source)
    waits = []
    for version, stage in ((2, Stage.LIVE), (3, Stage.OFF), (4, Stage.COMPLETE)):
        began = time.monotonic()
        await launchdarkly.patch(flag_with(version, (Scope("acme"), stage)))
        await watched.until_stage(stage)
        waits.append(time.monotonic() - began)
    assert min(waits) < IN_FORCE


async def test_unreachable_at_the_start_means_off_until_it_comes(
    launchdarkly: Any, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    await launchdarkly.stop()
    launchdarkly.put(flag_with(1, (Scope("acme"), Stage.LIVE)))
    await start_in_time(watched.source)
    assert watched.source.evaluate(ACME).known is False
    assert "LaunchDarkly is not connected" in (watched.source.problem() or "")
    assert "every tenant is at stage off" in (watched.source.problem() or "")
    with caplog.at_level(logging.WARNING, "ldclient"):
        for _ in range(100):
            assert watched.stage() is Stage.OFF
        assert not [record for record in caplog.records if "evaluation" in record.getMessage()]
    await launchdarkly.start()
    await watched.until_stage(Stage.LIVE)
    await watched.until(lambda: watched.source.problem() is None)


async def test_silence_at_the_start_does_not_hold_it_up(launchdarkly: Any, watched: Watched) -> None:
    launchdarkly.answers = False
    await start_in_time(watched.source)
    began = time.monotonic()
    for _ in range(100):
        assert watched.stage() is Stage.OFF
    assert time.monotonic() - began < IN_FORCE


async def test_a_lost_connection_leaves_the_last_known_flag(launchdarkly: Any, watched: Watched) -> None:
    launchdarkly.put(flag_with(1, (Scope("acme"), Stage.LIVE)))
    await connected(watched.source)
    await launchdarkly.stop()
    await watched.until(lambda: watched.source.problem() is not None)
    assert "the last known flags stay in force" in (watched.source.problem() or "")
    assert watched.stage() is Stage.LIVE
    launchdarkly.put(flag_with(2, (Scope("acme"), Stage.COMPLETE)))
    await launchdarkly.start()
    await watched.until_stage(Stage.COMPLETE)


async def test_a_wrong_key_means_off_and_is_said_without_the_key(
    launchdarkly: Any, caplog: pytest.LogCaptureFixture
) -> None:
    launchdarkly.put(flag_with(1, (Scope("acme"), Stage.LIVE)))
    source = FlagSource(flag_key=KEY, sdk_key="sdk-secret-wrong", base_url=launchdarkly.url)
    with caplog.at_level(logging.DEBUG):
        await start_in_time(source)
        assert source.evaluate(ACME).known is False
        await until(lambda: "401" in (source.problem() or ""))
        await source.close()
    assert "sdk-secret-wrong" not in caplog.text


async def test_a_deleted_flag_means_off_and_is_a_problem(launchdarkly: Any, watched: Watched) -> None:
    launchdarkly.put(flag_with(1, (Scope("acme"), Stage.LIVE)))
    await connected(watched.source)
    await launchdarkly.delete(KEY, 2)
    await watched.until_stage(Stage.OFF)
    assert watched.source.problem() == "LaunchDarkly has no flag 'task-backend'; every tenant is at stage off"


async def test_a_flag_of_another_kind_is_a_problem(launchdarkly: Any, watched: Watched) -> None:
    launchdarkly.put(new_flag(KEY) | {"variations": [True, False]})
    await connected(watched.source)
    assert watched.stage() is Stage.OFF
    assert "not a sound migration flag: variation True is not a stage" in (watched.source.problem() or "")


async def test_dispatches_are_recorded_by_origin(launchdarkly: Any, watched: Watched) -> None:
    launchdarkly.put(with_rollout(flag_with(1), Stage.LIVE, 50, by="task", seed=1))
    await connected(watched.source)
    evaluation = watched.source.evaluate(ACME)
    watched.source.record(evaluation, TEMPORAL, timedelta(milliseconds=12))
    watched.source.record(watched.source.evaluate(ACME), REDIS, timedelta(milliseconds=3), failed=True)
    await watched.source.close()  # sends what is left
    async with asyncio.timeout(5):
        first, second = await launchdarkly.event("migration_op"), await launchdarkly.event("migration_op")
    assert first["operation"] == "write"
    assert first["evaluation"]["value"] == evaluation.stage
    assert {kind: first["context"][kind]["key"] for kind in ("tenant", "project", "task")} == {
        "tenant": "acme",
        "project": "p1",
        "task": "task-1",
    }
    assert {item["key"]: item["values"] for item in first["measurements"]} == {
        "invoked": {"new": True},
        "latency_ms": {"new": 12},
    }
    assert {item["key"]: item["values"] for item in second["measurements"]} == {
        "invoked": {"old": True},
        "latency_ms": {"old": 3},
        "error": {"old": True},
    }


async def test_launchdarkly_keeps_no_entry_for_each_task(launchdarkly: Any, watched: Watched) -> None:
    launchdarkly.put(flag_with(1))
    await connected(watched.source)
    watched.stage()
    await watched.source.close()
    async with asyncio.timeout(5):
        index = await launchdarkly.event("index")
    assert index["context"]["kind"] == "multi"
    assert set(index["context"]) == {"kind", "tenant", "project"}


async def test_close_does_not_wait_for_events_that_nobody_takes(launchdarkly: Any, watched: Watched) -> None:
    launchdarkly.put(flag_with(1, (Scope("acme"), Stage.LIVE)))
    await connected(watched.source)
    launchdarkly.answers = False
    watched.stage()
    began = time.monotonic()
    await watched.source.close()
    assert time.monotonic() - began < 3
    assert watched.stage() is Stage.LIVE


async def test_comparisons_are_reads_of_both(launchdarkly: Any, watched: Watched) -> None:
    launchdarkly.put(flag_with(1, (Scope("acme"), Stage.SHADOW)))
    await connected(watched.source)
    same, other = watched.source.evaluate(ACME), watched.source.evaluate(ACME)
    watched.source.compare(
        same, is_consistent=True, redis=timedelta(milliseconds=40), temporal=timedelta(milliseconds=15)
    )
    watched.source.compare(other, is_consistent=False)
    await watched.source.close()
    async with asyncio.timeout(5):
        first, second = await launchdarkly.event("migration_op"), await launchdarkly.event("migration_op")
    assert (first["operation"], first["evaluation"]["value"]) == ("read", "shadow")
    measured = {item["key"]: item.get("values", item.get("value")) for item in first["measurements"]}
    assert measured == {
        "invoked": {"old": True, "new": True},
        "latency_ms": {"old": 40, "new": 15},
        "consistent": True,
    }
    measured = {item["key"]: item.get("values", item.get("value")) for item in second["measurements"]}
    assert measured == {"invoked": {"old": True, "new": True}, "consistent": False, "error": {"new": True}}
