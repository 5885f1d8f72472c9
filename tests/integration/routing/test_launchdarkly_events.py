"""LaunchDarkly's migration events of a whole gateway, stage by stage, as its stand-in records them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from contracts.task_queues import until_polled
from contracts.world import PATIENCE, Servers, World
from gateway.routing.flag_edit import new_flag, with_stage
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.stages import Stage
from workers.testing.waiting import eventually, until

STAGES = tuple(Stage)


@pytest_asyncio.fixture
async def empty_servers(own_servers: Servers) -> Servers:
    """A Redis and a namespace that hold nothing."""
    async with Redis.from_url(own_servers.redis_url or "") as client:
        await client.flushall()
    return own_servers


def flag(stage: Stage, version: int) -> dict[str, Any]:
    return with_stage(new_flag("task-backend"), Scope(), stage) | {"version": version}


async def rehearsed(world: World, tenant_id: str, *, probed: bool) -> None:
    await eventually(
        lambda: world.gateway.rehearsals.summaries(tenant_id, 24),
        lambda found: found[0].probes.good if probed else found[0].ready,
        within=PATIENCE,
    )


async def submit_at(world: World, launchdarkly: Any, stage: Stage, version: int, home: Any) -> str:
    """A task of the household that ends at this stage; its id."""
    await launchdarkly.patch(flag(stage, version))
    await until(
        lambda: world.gateway.router.route(RouteQuery(home.tenant_id, "contract_probe", plan=None)).stage is stage,
        within=PATIENCE,
    )
    task = await world.submit(home)
    assert (await world.ended(task))["status"] == "COMPLETED"
    if stage in (Stage.DUALWRITE, Stage.SHADOW):
        await rehearsed(world, home.tenant_id, probed=stage is Stage.SHADOW)
    return task


def told(event: dict[str, Any]) -> tuple[str, str, str, list[str], bool | None, list[str]]:
    """Task, stage, operation, origins, consistency, and the origins that have a latency."""
    measures = {one["key"]: one for one in event["measurements"]}
    return (
        event["context"]["task"]["key"],
        event["evaluation"]["value"],
        event["operation"],
        sorted(measures["invoked"]["values"]),
        measures["consistent"]["value"] if "consistent" in measures else None,
        sorted(measures["latency_ms"]["values"]) if "latency_ms" in measures else [],
    )


@pytest.mark.parametrize("source", ["launchdarkly", "file"])
async def test_each_stage(launchdarkly: Any, empty_servers: Servers, tmp_path: Path, source: str) -> None:
    launchdarkly.put(flag(Stage.OFF, 1))

    class Owned(World):
        def settings(self, **more: Any) -> Any:
            own = {
                "launchdarkly_sdk_key": launchdarkly.sdk_key,
                "launchdarkly_base_url": launchdarkly.url,
                "flags_file": None,
                "flag_source": "launchdarkly",
            }
            every = {"rehearsal_probe_percent": 100.0, "rehearsal_probes_per_second": 100.0}
            return super().settings(**{**every, **(own if source == "launchdarkly" else {}), **more})

    world = Owned("off", empty_servers, tmp_path)
    await world.start()
    tasks: dict[Stage, str] = {}
    try:
        home = await world.people.household()
        await until_polled(world, "shared-contract_probe")
        await world.gateway.queues.learn()
        if source == "launchdarkly":
            for version, stage in enumerate(STAGES, start=2):
                tasks[stage] = await submit_at(world, launchdarkly, stage, version, home)
        else:
            await world.flag.set(Stage.SHADOW)
            assert (await world.ended(await world.submit(home)))["status"] == "COMPLETED"
            await rehearsed(world, home.tenant_id, probed=True)
    finally:
        await world.stop()
    events = [one for one in list(launchdarkly.events._queue) if one["kind"] == "migration_op"]
    if source == "file":
        assert events == []
        return
    expected = []
    for stage, task in tasks.items():
        old = stage in (Stage.OFF, Stage.DUALWRITE, Stage.SHADOW)
        origin = ["old" if old else "new"]
        expected.append((task, str(stage), "write", origin, None, origin))
    both = ["new", "old"]
    expected.append((tasks[Stage.DUALWRITE], "dualwrite", "read", both, True, []))
    expected.append((tasks[Stage.SHADOW], "shadow", "read", both, True, both))
    assert sorted(map(told, events)) == sorted(expected)
