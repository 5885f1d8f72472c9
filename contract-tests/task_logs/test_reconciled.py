"""What nobody reported stands in `task_logs` all the same, soon after it happened: on real engines, in every stage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
import pytest_asyncio
import redis.asyncio
from temporalio.api.workflowservice.v1 import TerminateActivityExecutionRequest
from temporalio.client import Client

from contracts.people import Household
from contracts.probes import BOARD
from contracts.world import FLIPS, PATIENCE, World
from gateway.routing.stages import Stage


class Operator:
    """Somebody at Temporal's own interface; Temporal offers them no reset of a standalone activity, nor other times."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._where = {"namespace": client.namespace, "identity": "an operator"}

    async def terminate(self, task_id: str) -> None:
        request = TerminateActivityExecutionRequest(
            **self._where, activity_id=f"task-{task_id}", reason="terminated by an operator", request_id=task_id
        )
        await self._client.workflow_service.terminate_activity_execution(request)


@pytest_asyncio.fixture
async def operator(world: World, home: Household) -> Operator:
    """The household is on Temporal."""
    if world.stage == "off":
        pytest.skip("Temporal is not configured at this stage")
    if world.stage == "flipped":
        await world.flag.set(Stage.LIVE, home.tenant_id)
    servers = world.servers
    assert servers.temporal_address is not None
    return Operator(await Client.connect(servers.temporal_address, namespace=servers.temporal_namespace))


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


async def is_stopped(world: World, task_id: str) -> None:
    """Return once the gateway has given it up."""
    while (await world.dispatch(task_id))["state"] != "stopped":
        await asyncio.sleep(0.02)


async def test_terminated_while_it_waits(world: World, home: Household, operator: Operator) -> None:
    async with world.jammed():
        task_id = await world.submit(home)
        await world.queued(task_id)
        await move(world, home)
        await operator.terminate(task_id)
        async with asyncio.timeout(PATIENCE):
            row = await world.ended(task_id)
    assert (row["status"], row["error_message"]) == ("FAILED", "Task terminated")
    assert row["stopped_at"] is not None
    assert BOARD.runs[task_id] == 0


async def test_terminated_while_it_runs(world: World, home: Household, operator: Operator) -> None:
    async with world.held(home) as (task_id, hold):
        await move(world, home)
        await operator.terminate(task_id)
        async with asyncio.timeout(PATIENCE):
            row = await world.ended(task_id)
            await hold.cancelled.wait()
    assert row["status"] == "FAILED"
    assert BOARD.runs[task_id] == 1


async def test_a_redis_that_came_back_empty(world: World, home: Household, queue: redis.asyncio.Redis) -> None:
    async with world.jammed():
        waits = [await world.submit(home) for _ in range(3)]
        for task_id in waits:
            await world.queued(task_id)
        before = {task_id: (await world.dispatch(task_id))["queued_at"] for task_id in waits}
        await move(world, home)
        await queue.flushall()
        async with asyncio.timeout(PATIENCE):
            await queued_again(world, before)
    for task_id in waits:
        assert (await world.ended(task_id))["status"] == "COMPLETED"
        assert BOARD.runs[task_id] == 1


async def queued_again(world: World, before: dict[str, datetime]) -> None:
    """Return once an engine has each of them anew: the one of the stage at this moment."""
    while True:
        rows = [await world.dispatch(task_id) for task_id in before]
        if all(row["queued_at"] is not None and row["queued_at"] > before[row["task_id"]] for row in rows):
            return
        await asyncio.sleep(0.02)


async def test_a_row_deleted_by_hand(world: World, home: Household) -> None:
    """Nothing of it runs any more, on either backend, and nobody hears of it."""
    async with world.jammed():
        waits = await world.submit(home)
        await world.queued(waits)
        await move(world, home)
        await world.database.execute("DELETE FROM task_logs WHERE id = $1", waits)
        async with asyncio.timeout(PATIENCE):
            await is_stopped(world, waits)
    async with world.held(home) as (runs, hold):
        await world.database.execute("DELETE FROM task_logs WHERE id = $1", runs)
        async with asyncio.timeout(PATIENCE):
            await hold.cancelled.wait()
            await is_stopped(world, runs)
    await world.ended(await world.submit(home))
    assert (BOARD.runs[waits], BOARD.runs[runs]) == (0, 1)
    for task_id in (waits, runs):
        assert (await world.client(home.owner).get(f"/api/v1/tasks/{task_id}")).status_code == 404
