"""Contract §6: every column in every state, as a legacy reader finds it, and as the API shows it."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from datetime import datetime
from typing import Any

import pytest
import redis.asyncio

from contracts.people import Household
from contracts.probes import BOARD, RESULT
from contracts.shapes import check, equals, matches
from contracts.world import World

WORKER_ID = matches(r".+-[0-9a-f]{8}")

#: What the recovery loop of an unmodified legacy worker puts into Redis (contract §5, R2), however old it is.
RECOVERABLE = "SELECT count(*) FROM task_logs WHERE status = 'PENDING' AND id = $1"


def new_row(home: Household, task_id: str, do: str = "") -> dict[str, Any]:
    """A task in the gateway's care that nobody has started."""
    return {
        "id": task_id,
        "group_id": home.project_id,
        "task_type": "contract_probe",
        "status": "PROCESSING",
        "created_at": datetime,
        "started_at": None,
        "completed_at": None,
        "stopped_at": None,
        "error_message": None,
        "worker_id": None,
        "retry_count": 0,
        "payload": {
            "do": do if do else str,
            "group_id": home.project_id,
            "tenant_id": home.tenant_id,
            "project_id": home.project_id,
            "user_id": home.owner.user_id,
            "task_type": "contract_probe",
            "task_id": task_id,
            "timestamp": float,
        },
        "progress": 0,
        "result": None,
        "message": None,
        "entity_id": None,
        "entity_type": None,
        "parent_task_id": None,
    }


def running(home: Household, task_id: str, do: str = "") -> dict[str, Any]:
    changes = {"started_at": datetime, "worker_id": WORKER_ID, "progress": 10, "message": "held"}
    return {**new_row(home, task_id, do), **changes}


def as_the_api_shows(row: dict[str, Any]) -> dict[str, Any]:
    """`TaskLogResponse` of a row, by contract §2 and the design's rule for reserved rows."""
    reserved = row["status"] == "PROCESSING" and row["started_at"] is None and row["worker_id"] is None
    duration = "-"
    if row["started_at"] and row["completed_at"]:
        seconds = (row["completed_at"] - row["started_at"]).total_seconds()
        duration = f"{int(seconds * 1000)}ms" if seconds < 1 else f"{seconds:.1f}s"
    return {
        "id": row["id"],
        "name": row["task_type"],
        "status": "Pending" if reserved else row["status"].capitalize(),
        "created_at": row["created_at"],
        "started_at": row["started_at"],
        "completed_at": row["completed_at"],
        "error": row["error_message"],
        "worker_id": row["worker_id"] or "-",
        "retries": row["retry_count"],
        "duration": duration,
        "entity_id": row["entity_id"],
        "entity_type": row["entity_type"],
        "progress": row["progress"],
        "result": row["result"],
        "message": row["message"],
    }


async def look(world: World, home: Household, task_id: str, expected: dict[str, Any]) -> dict[str, Any]:
    """The row is as expected, the API shows that row, and no recovery loop would take it."""
    row = await world.row(task_id)
    check(row, expected, "row")
    answer = (await world.client(home.owner).get(f"/api/v1/tasks/{task_id}")).json()
    for name in ("created_at", "started_at", "completed_at"):
        answer[name] = answer[name] and datetime.fromisoformat(answer[name])
    assert answer == as_the_api_shows(row)
    assert await world.database.fetchval(RECOVERABLE, task_id) == 0
    return row


async def post(world: World, home: Household, task_id: str, verb: str) -> None:
    answer = await world.client(home.owner).post(f"/api/v1/tasks/{task_id}/{verb}")
    assert answer.status_code == 200, answer.text


async def test_accepted_for_later(world: World, home: Household) -> None:
    before = time.time()
    task_id = await world.submit(home, delay_seconds=3600)
    row = await look(world, home, task_id, new_row(home, task_id))
    assert before - 1 <= row["created_at"].timestamp() <= time.time() + 1
    assert row["payload"]["timestamp"] == row["created_at"].timestamp()
    await world.flip()
    await look(world, home, task_id, new_row(home, task_id))


async def test_queued_then_completed(world: World, home: Household) -> None:
    async with world.jammed():
        task_id = await world.submit(home, "report")
        await look(world, home, task_id, new_row(home, task_id, "report"))
        await world.flip()
    await world.ended(task_id)
    done = {
        "status": "COMPLETED",
        "started_at": datetime,
        "completed_at": datetime,
        "worker_id": WORKER_ID,
        "progress": 100,
        "result": equals(RESULT),
        "message": "done",
    }
    row = await look(world, home, task_id, {**new_row(home, task_id, "report"), **done})
    assert row["created_at"] <= row["started_at"] <= row["completed_at"]


async def test_running_then_completed(world: World, home: Household) -> None:
    async with world.held(home) as (task_id, _):
        row = await look(world, home, task_id, running(home, task_id))
        await world.flip()
        assert await look(world, home, task_id, running(home, task_id)) == row
    await world.ended(task_id)
    end = await look(world, home, task_id, {**running(home, task_id), "status": "COMPLETED", "completed_at": datetime})
    assert (end["started_at"], end["worker_id"]) == (row["started_at"], row["worker_id"])


async def test_failed_after_three_runs(world: World, home: Household) -> None:
    """Between two runs it waits like a new one; only the last failure is an error."""
    task_id = await world.submit(home, "fail no luck")
    again = {**new_row(home, task_id, "fail no luck"), "retry_count": 1}
    await world.until(task_id, lambda row: row["retry_count"] == 1)
    await look(world, home, task_id, again)
    await world.flip()
    await world.until(task_id, lambda row: row["retry_count"] == 2)
    await look(world, home, task_id, {**again, "retry_count": 2})
    await world.ended(task_id)
    failed = {
        "status": "FAILED",
        "error_message": "no luck",
        "started_at": datetime,
        "completed_at": datetime,
        "worker_id": WORKER_ID,
        "retry_count": 2,
    }
    await look(world, home, task_id, {**again, **failed})
    assert BOARD.runs[task_id] == 3


async def test_completed_in_the_second_run(world: World, home: Household) -> None:
    do = f"flaky {home.name}"
    task_id = await world.submit(home, do)
    await world.until(task_id, lambda row: row["retry_count"] == 1)
    await world.flip()
    await world.ended(task_id)
    done = {
        "status": "COMPLETED",
        "started_at": datetime,
        "completed_at": datetime,
        "worker_id": WORKER_ID,
        "retry_count": 1,
    }
    await look(world, home, task_id, {**new_row(home, task_id, do), **done})


async def test_stopped_while_it_waited_then_retried(world: World, home: Household) -> None:
    task_id = await world.submit(home, delay_seconds=3600)
    await post(world, home, task_id, "stop")
    stopped = {
        **new_row(home, task_id),
        "status": "FAILED",
        "error_message": "Task stopped by user",
        "completed_at": datetime,
        "stopped_at": datetime,
    }
    row = await look(world, home, task_id, stopped)
    assert row["completed_at"] == row["stopped_at"]
    await world.flip()
    async with world.jammed():
        await post(world, home, task_id, "retry")
        await look(world, home, task_id, {**new_row(home, task_id), "retry_count": 1})
    await world.ended(task_id)
    done = {"status": "COMPLETED", "started_at": datetime, "completed_at": datetime, "worker_id": WORKER_ID}
    await look(world, home, task_id, {**new_row(home, task_id), **done, "retry_count": 1})


async def test_stopped_while_it_ran(world: World, home: Household) -> None:
    async with world.held(home) as (task_id, hold):
        await world.flip()
        await post(world, home, task_id, "stop")
        stopped = {
            **running(home, task_id),
            "status": "FAILED",
            "error_message": "Task stopped by user",
            "completed_at": datetime,
            "stopped_at": datetime,
        }
        row = await look(world, home, task_id, stopped)
        async with asyncio.timeout(5):
            await hold.cancelled.wait()
    await world.ended(await world.submit(home))
    assert await world.row(task_id) == row, "nothing is written after the stop"


async def test_a_failed_task_that_is_retried_begins_anew(world: World, home: Household) -> None:
    task_id = await world.submit(home, "fatal")
    created = (await world.ended(task_id))["created_at"]
    await world.flip()
    async with world.jammed():
        await post(world, home, task_id, "retry")
        row = await look(world, home, task_id, {**new_row(home, task_id, "fatal"), "retry_count": 1})
        assert row["created_at"] == created
        assert row["payload"]["timestamp"] == created.timestamp()
    await world.ended(task_id)


async def test_a_child_names_its_parent(world: World, home: Household) -> None:
    parent = await world.submit(home)
    child = await world.submit(home, parent_task_id=parent)
    await world.flip()
    row = await world.ended(child)
    assert row["parent_task_id"] == parent
    await look(world, home, child, {**row, "payload": equals(row["payload"])})


@pytest.mark.parametrize("with_row", [True, False], ids=["with row", "without row"])
async def test_adopted_from_a_legacy_producer(world: World, home: Household, with_row: bool) -> None:
    """A producer that still pushes into Redis: the gateway's own worker runs it, and its row says so."""
    if world.stage == "complete":
        pytest.skip("Redis is down for good at this stage; nobody pushes")
    task_id = f"legacy-{secrets.token_hex(6)}"
    name = secrets.token_hex(6)
    payload = {
        "task_type": "add_episode",
        "task_id": task_id,
        "group_id": home.project_id,
        "name": "n",
        "content": f"hold {name}",
        "source_description": "text",
        "episode_type": "text",
        "uuid": "e1",
        "tenant_id": home.tenant_id,
        "project_id": home.project_id,
        "user_id": home.owner.user_id,
        "memory_id": None,
        "timestamp": time.time(),
    }
    if with_row:
        await world.database.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, payload, entity_id, entity_type)"
            " VALUES ($1, $2, 'add_episode', 'PENDING', $3::json, 'e1', 'episode')",
            task_id,
            home.project_id,
            json.dumps(payload),
        )
    async with redis.asyncio.from_url(world.servers.redis_url) as queue:
        await queue.sadd("queue:active_groups", home.project_id)
        await queue.rpush(f"queue:group:{home.project_id}", json.dumps(payload))
    async with asyncio.timeout(20):
        await BOARD.hold(name).started.wait()
    expected = {
        **running(home, task_id),
        "task_type": "add_episode",
        "payload": equals(payload),
        "entity_id": "e1" if with_row else (str, None),
        "entity_type": "episode" if with_row else (str, None),
    }
    await world.until(task_id, lambda row: row["progress"] == 10)
    await look(world, home, task_id, expected)
    await world.flip()
    BOARD.hold(name).release()
    await world.ended(task_id)
    await look(world, home, task_id, {**expected, "status": "COMPLETED", "completed_at": datetime})
    dispatch = await world.dispatch(task_id)
    assert (dispatch["tenant_id"], dispatch["project_id"]) == (home.tenant_id, home.project_id)
    assert BOARD.runs[task_id] == 1
