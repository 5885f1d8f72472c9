"""No step of a plan leaves tasks behind on Redis at stage `complete`, also while the flag is away."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.migration.stages.requests import SetStage
from gateway.routing.query import RouteQuery
from gateway.routing.stages import Stage
from tests.integration.migration.plans.elsewhere import Elsewhere, overrides, targets
from workers.testing.waiting import until

World = Any
COMPLETE = "name: spring\nwhy: w\nstage: complete\nbake: '0'\nwaves: [{tenants: [acme]}]\n"


async def test_no_override_strands_tasks_while_the_flag_is_away(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(COMPLETE)
    await world.act("start")
    await _wait_on_redis(world, "acme")
    monkeypatch.setattr(Elsewhere, "is_away", True)
    held = await world.until("held", minutes=1)
    assert "tenant acme: 1 task still on redis (1 queued; 1 backup)" in held["says"]
    assert await overrides(world) == []
    await _end_all(world)
    await world.tick(2, minutes=1)
    assert await overrides(world) == [("acme", "complete", "taskgate plan")]


async def test_a_rollback_strands_no_tasks_while_the_flag_is_away(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(COMPLETE.replace("spring", "before"))
    await world.act("start", "before")
    await world.until("done", minutes=1, name="before")
    version, _ = await world.stages.document()
    await world.stages.set("ada", SetStage(tenant_id="globex", stage="live", why="w", based_on=version))
    await world.write(COMPLETE.replace("complete", "'off'").replace("[acme]", "[acme, globex]"))
    await world.act("start")
    await world.until("done", minutes=1)
    await world.routing.until_stage(Stage.OFF, RouteQuery("acme", "backup", plan=None))
    await world.routing.until_stage(Stage.OFF, RouteQuery("globex", "backup", plan=None))
    await _wait_on_redis(world, "acme")
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.act("rollback")
    await world.tick(2, minutes=1)
    assert "tenant acme: 1 task still on redis" in (await world.plan())["says"]
    # Others do not wait for it.
    assert await overrides(world) == [("globex", "live", "taskgate plan")]
    await _end_all(world)
    await world.tick(minutes=1)
    assert await overrides(world) == [("acme", "complete", "taskgate plan"), ("globex", "live", "taskgate plan")]


async def test_the_flag_takes_over_from_an_override_only_when_no_task_is_stranded(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(COMPLETE)
    await world.act("start")
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.until("held", minutes=1)
    assert await overrides(world) == [("acme", "complete", "taskgate plan")]
    await _wait_on_redis(world, "acme")
    monkeypatch.setattr(Elsewhere, "is_away", False)
    await world.tick(3, minutes=1)
    held = await world.plan()
    assert held["state"] == "held"
    assert "tenant acme: 1 task still on redis (1 queued; 1 backup)" in held["says"]
    assert (await world.settings(), len(await overrides(world))) == ({}, 1)
    await _end_all(world)
    await world.tick(2, minutes=1)
    await until(lambda: targets(world) == ["acme"])
    await world.until("done", minutes=1)
    assert (await world.settings(), await overrides(world)) == ({"acme": "complete"}, [])


async def _wait_on_redis(world: World, tenant: str) -> None:
    """A task of the tenant is queued there."""
    await world.database.execute(
        "INSERT INTO taskgate.dispatch (task_id, group_id, task_type, tenant_id, state, backend)"
        " VALUES ('t', 'g', 'backup', $1, 'queued', 'redis')",
        tenant,
    )


async def _end_all(world: World) -> None:
    """No task is left."""
    await world.database.execute("DELETE FROM taskgate.dispatch")
