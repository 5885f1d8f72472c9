"""What nobody reported stands in `task_logs` all the same, within five seconds: on real engines, in every stage.

The five seconds are counted by PostgreSQL, from before the fault until the row was written, with the default settings;
however slow the machine is, most of them are pauses.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
import pytest_asyncio
import redis.asyncio

from contracts.operator import WHY, Operator
from contracts.people import Household
from contracts.probes import BOARD
from contracts.world import FLIPS, PATIENCE, TRUTH, World
from gateway.routing.stages import Stage
from workers.testing.waiting import eventually


@pytest_asyncio.fixture
async def queue(world: World, home: Household) -> AsyncIterator[redis.asyncio.Redis]:
    """The household is on Redis."""
    if world.stage in ("live", "complete"):
        pytest.skip("nothing of this stage is in Redis")
    if world.stage == "flipped":
        await world.flag.set(Stage.OFF, home.tenant_id)
    assert world.servers.redis_url is not None
    async with redis.asyncio.from_url(world.servers.redis_url) as queue:
        yield queue


async def move(world: World, home: Household) -> None:
    """The mid-run of a test: at stage `flipped` the household is moved, else nothing happens."""
    if world.stage == "flipped":
        await world.flag.set(FLIPS[world.flag.stage(home.tenant_id)], home.tenant_id)


async def stopped_at(world: World, task_id: str) -> datetime:
    """When the gateway gave it up, once it has."""
    row = await eventually(lambda: world.dispatch(task_id), lambda row: row["state"] == "stopped", within=PATIENCE)
    moment: datetime = row["finished_at"]
    return moment


async def test_terminated_while_it_waits(world: World, home: Household, operator: Operator) -> None:
    async with world.jammed():
        task_id = await world.submit(home)
        await world.queued(task_id)
        await move(world, home)
        struck = await world.clock()
        await operator.terminate(task_id)
        async with asyncio.timeout(PATIENCE):
            row = await world.ended(task_id)
    assert (row["status"], row["error_message"]) == ("FAILED", f"Task terminated: {WHY}")
    assert row["completed_at"] - struck < TRUTH
    assert row["stopped_at"] == row["completed_at"]
    assert BOARD.runs[task_id] == 0


async def test_terminated_while_it_runs(world: World, home: Household, operator: Operator) -> None:
    async with world.held(home) as (task_id, hold):
        await move(world, home)
        struck = await world.clock()
        await operator.terminate(task_id)
        async with asyncio.timeout(PATIENCE):
            row = await world.ended(task_id)
            await hold.cancelled.wait()
    assert row["status"] == "FAILED"
    assert row["completed_at"] - struck < TRUTH
    assert BOARD.runs[task_id] == 1


async def test_a_redis_that_came_back_empty(world: World, home: Household, queue: redis.asyncio.Redis) -> None:
    async with world.jammed():
        waits = [await world.submit(home) for _ in range(3)]
        for task_id in waits:
            await world.queued(task_id)
        before = {task_id: (await world.dispatch(task_id))["queued_at"] for task_id in waits}
        await move(world, home)
        struck = await world.clock()
        await queue.flushall()
        async with asyncio.timeout(PATIENCE):
            queued = await queued_again(world, before)
    assert max(queued) - struck < TRUTH
    for task_id in waits:
        assert (await world.ended(task_id))["status"] == "COMPLETED"
        assert BOARD.runs[task_id] == 1


async def queued_again(world: World, before: dict[str, datetime]) -> list[datetime]:
    """When an engine had each of them anew, once one has: the one of the stage at this moment."""

    async def read() -> list[datetime | None]:
        return [(await world.dispatch(task_id))["queued_at"] for task_id in before]

    def are_new(found: list[datetime | None]) -> bool:
        return all(at is not None and at > since for at, since in zip(found, before.values(), strict=True))

    found = await eventually(read, are_new, within=PATIENCE)
    return [at for at in found if at is not None]


async def test_a_row_deleted_by_hand(world: World, home: Household) -> None:
    """Nothing of it runs any more, on either backend, and nobody hears of it."""
    async with world.jammed():
        waits = await world.submit(home)
        await world.queued(waits)
        await move(world, home)
        struck = await world.clock()
        await world.database.execute("DELETE FROM task_logs WHERE id = $1", waits)
        async with asyncio.timeout(PATIENCE):
            assert await stopped_at(world, waits) - struck < TRUTH
    async with world.held(home) as (runs, hold):
        struck = await world.clock()
        await world.database.execute("DELETE FROM task_logs WHERE id = $1", runs)
        async with asyncio.timeout(PATIENCE):
            await hold.cancelled.wait()
            assert await stopped_at(world, runs) - struck < TRUTH
    await world.ended(await world.submit(home))
    assert (BOARD.runs[waits], BOARD.runs[runs]) == (0, 1)
    for task_id in (waits, runs):
        assert (await world.client(home.owner).get(f"/api/v1/tasks/{task_id}")).status_code == 404
