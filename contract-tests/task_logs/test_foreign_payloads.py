"""Payloads that somebody pushes into Redis and that cannot be run: each is set aside, and nobody waits behind it."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio

from contracts.people import Household
from contracts.probes import BOARD
from contracts.world import PATIENCE, World
from gateway.storage.database import Database
from workers.testing.waiting import eventually


class Wire:
    """A producer with a direct connection."""

    def __init__(self, queue: redis.asyncio.Redis, database: Database) -> None:
        self._queue = queue
        self._database = database

    async def push(self, group: str, raw: bytes) -> None:
        await self._queue.sadd("queue:active_groups", group)
        await self._queue.rpush(f"queue:group:{group}", raw)

    async def dead(self, group: str, count: int = 1) -> list[str]:
        """Why payloads of this group are dead letters, once there are so many."""
        query = "SELECT error FROM taskgate.dead_letter WHERE kind = 'payload' AND group_id = $1 ORDER BY died_at"
        rows = await eventually(
            lambda: self._database.fetch(query, group), lambda rows: len(rows) >= count, within=PATIENCE
        )
        return [row["error"] for row in rows]


@pytest_asyncio.fixture
async def wire(world: World) -> AsyncIterator[Wire]:
    if world.stage == "complete":
        pytest.skip("Redis is down for good at this stage; nobody pushes")
    async with redis.asyncio.from_url(world.servers.redis_url) as queue:
        yield Wire(queue, world.database)


def task(home: Household, **more: Any) -> dict[str, Any]:
    return {
        "task_type": "contract_probe",
        "task_id": f"foreign-{secrets.token_hex(6)}",
        "timestamp": time.time(),
        "group_id": home.project_id,
        "tenant_id": home.tenant_id,
        "do": "report",
        **more,
    }


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"no json", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"task_id": 7, "task_type": "add_episode"}', "task_id is not a string"),
        (b'{"task_id": "x", "task_type": ["add_episode"]}', "task_type is not a string"),
        (b'{"task_type": "add_episode"}', "task_id is missing"),
        (b"\xff", "not UTF-8"),
    ],
    ids=["text", "array", "id", "type", "no id", "bytes"],
)
async def test_what_is_no_task(world: World, home: Household, wire: Wire, raw: bytes, reason: str) -> None:
    await wire.push(home.project_id, raw)
    behind = task(home)
    await wire.push(home.project_id, json.dumps(behind).encode())
    await world.flip()
    assert await wire.dead(home.project_id) == [reason]
    await appears(world, behind["task_id"])
    assert (await world.ended(behind["task_id"]))["status"] == "COMPLETED"


async def test_fifty_megabytes(world: World, home: Household, wire: Wire) -> None:
    await wire.push(home.project_id, json.dumps(task(home, do="x" * 50_000_000)).encode())
    [reason] = await wire.dead(home.project_id)
    assert reason.startswith("too large")


async def test_an_unknown_type_fails_with_its_name(world: World, home: Household, wire: Wire) -> None:
    payload = task(home, task_type="no_such_type")
    await wire.push(home.project_id, json.dumps(payload).encode())
    await appears(world, payload["task_id"])
    row = await world.ended(payload["task_id"])
    assert row["status"] == "FAILED"
    assert "no_such_type" in row["error_message"]


@pytest.mark.parametrize("text", ["\ud800", "a\0b", float("nan"), 10**40], ids=["surrogate", "NUL", "NaN", "huge"])
async def test_odd_text_blocks_nobody(world: World, home: Household, wire: Wire, text: Any) -> None:
    await wire.push(home.project_id, json.dumps(task(home, odd=text)).encode())
    behind = task(home)
    await wire.push(home.project_id, json.dumps(behind).encode())
    await appears(world, behind["task_id"])
    assert (await world.ended(behind["task_id"]))["status"] == "COMPLETED"


async def test_a_failure_in_odd_words_is_a_failure(world: World, home: Household, wire: Wire) -> None:
    payload = task(home, do="fatal \ud800 a\0b")
    await wire.push(home.project_id, json.dumps(payload).encode())
    await appears(world, payload["task_id"])
    row = await world.ended(payload["task_id"])
    assert (row["status"], row["error_message"]) == ("FAILED", "\\ud800 a\\0b")
    assert BOARD.runs[payload["task_id"]] == 1


async def test_an_id_that_another_tenant_owns(world: World, home: Household, stranger: Household, wire: Wire) -> None:
    """Neither does the other tenant's task run with this payload, nor is it changed otherwise."""
    for waits in (True, False):
        owned = await world.submit(stranger, "report", **({"delay_seconds": 3600} if waits else {}))
        before = await world.row(owned) if waits else await world.ended(owned)
        await wire.push(home.project_id, json.dumps(task(home, task_id=owned, do="fatal stolen")).encode())
    reasons = await wire.dead(home.project_id, 2)
    assert reasons == ["its task_id belongs to another tenant"] * 2
    assert await world.row(owned) == before
    assert BOARD.runs[owned] == 1


async def test_an_id_of_a_queued_task_of_another_tenant(
    world: World, home: Household, stranger: Household, wire: Wire
) -> None:
    async with world.jammed():
        owned = await world.submit(stranger, "report")
        await wire.push(home.project_id, json.dumps(task(home, task_id=owned, do="fatal stolen")).encode())
        await world.flip()
    assert await wire.dead(home.project_id) == ["its task_id belongs to another tenant"]
    row = await world.ended(owned)
    assert (row["status"], row["error_message"]) == ("COMPLETED", None)
    assert BOARD.runs[owned] == 1


async def test_an_id_that_is_taken(world: World, home: Household, wire: Wire) -> None:
    taken = await world.submit(home, "report")
    before = await world.ended(taken)
    await wire.push(home.project_id, json.dumps(task(home, task_id=taken, do="fatal again")).encode())
    [reason] = await wire.dead(home.project_id)
    assert reason.startswith("duplicate task_id")
    assert await world.row(taken) == before
    assert BOARD.runs[taken] == 1


async def appears(world: World, task_id: str) -> None:
    """Return once the task has a row; nobody announces that."""
    async with asyncio.timeout(PATIENCE):
        while not await world.database.fetchval("SELECT count(*) FROM task_logs WHERE id = $1", task_id):
            await world.client().get("/health")
