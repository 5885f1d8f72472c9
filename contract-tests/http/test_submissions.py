"""What `/gateway/v1/tasks` takes beyond type and payload, on either backend."""

from __future__ import annotations

from typing import Any

from contracts.people import Household
from contracts.probes import BOARD
from contracts.world import PATIENCE, World
from workers.testing.waiting import eventually


async def test_a_task_that_has_not_started_by_its_deadline(world: World, home: Household) -> None:
    async with world.jammed():
        task_id = await world.submit(home, ttl_seconds=0.05)
        row = await world.ended(task_id)
        assert row["error_message"].startswith("Task expired: it had not started by its deadline")
        assert (row["status"], row["started_at"]) == ("FAILED", None)
    await world.ended(await world.submit(home))  # what was to run before has had its turn
    assert BOARD.runs[task_id] == 0
    assert await world.row(task_id) == row


async def test_a_task_that_starts_in_time(world: World, home: Household) -> None:
    assert (await world.ended(await world.submit(home, ttl_seconds=60)))["status"] == "COMPLETED"


async def test_a_retry_policy_of_its_own(world: World, home: Household) -> None:
    """Four runs at the gateway's policy would take 7 s more."""
    retry = {"attempts": 4, "initial_seconds": 0.01, "coefficient": 1}
    task_id = await world.submit(home, "fail no luck", retry=retry)
    await world.until(task_id, lambda row: row["retry_count"] == 1)
    await world.flip()
    row = await world.ended(task_id)
    assert (row["status"], BOARD.runs[task_id]) == ("FAILED", 4)
    assert (row["completed_at"] - row["created_at"]).total_seconds() < 7


async def test_one_attempt(world: World, home: Household) -> None:
    task_id = await world.submit(home, "fail no luck", retry={"attempts": 1})
    assert (await world.ended(task_id))["retry_count"] == 0
    assert BOARD.runs[task_id] == 1


async def test_a_key_that_only_one_active_task_may_have(world: World, home: Household) -> None:
    body = {"type": "contract_probe", "project_id": home.project_id, "unique_key": "k"}
    client = world.client(home.owner)
    async with world.held(home, unique_key="k") as (task_id, _):
        await world.flip()
        refused = await client.post("/gateway/v1/tasks", json=body)
        assert (refused.status_code, refused.json()["task_id"]) == (409, task_id)
        known = await client.post("/gateway/v1/tasks", json={**body, "on_conflict": "return"})
        assert (known.status_code, known.json()["task_id"], known.json()["status"]) == (200, task_id, "running")
    await world.ended(task_id)
    assert (await client.post("/gateway/v1/tasks", json=body)).status_code == 202


async def test_a_batch_runs(world: World, home: Household) -> None:
    task = {"type": "contract_probe", "payload": {"do": ""}, "project_id": home.project_id}
    answer = await world.client(home.owner).post("/gateway/v1/tasks/batch", json={"tasks": [task] * 50})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 50)
    for item in answer.json()["tasks"]:
        assert (await world.ended(item["task_id"]))["status"] == "COMPLETED"
        assert BOARD.runs[item["task_id"]] == 1


async def operate(world: World, home: Household, **body: Any) -> dict[str, Any]:
    """An operation, once it is over."""
    client = world.client(home.owner)
    answer = await client.post("/gateway/v1/operations", json=body)
    assert answer.status_code == 202, answer.text
    url = f"/gateway/v1/operations/{answer.json()['operation_id']}"
    ended = await eventually(lambda: client.get(url), lambda one: one.json()["state"] != "running", within=PATIENCE)
    return dict(ended.json())


async def test_queued_tasks_that_are_cancelled_together_never_run(world: World, home: Household) -> None:
    which = {"project_id": home.project_id}
    async with world.jammed():
        task_ids = [await world.submit(home) for _ in range(5)]
        await world.flip()
        operation = await operate(world, home, action="cancel", filter=which)
        assert (operation["total"], operation["done"]) == (5, 5)
    operation = await operate(world, home, action="retry", filter=which)
    assert (operation["total"], operation["done"]) == (5, 5)
    for task_id in task_ids:
        assert (await world.ended(task_id))["status"] == "COMPLETED"
        assert BOARD.runs[task_id] == 1


async def test_the_priority_of_queued_tasks(world: World, home: Household) -> None:
    """Where the engine knows priorities they are started anew, and run once all the same; else they stay."""
    async with world.jammed():
        task_ids = [await world.submit(home) for _ in range(3)]
        for task_id in task_ids:
            await world.queued(task_id)
        operation = await operate(world, home, action="reprioritise", priority=1, filter={"ids": task_ids})
        backend = (await world.dispatch(task_ids[0]))["backend"]
        moved = len(task_ids) if backend == "temporal" else 0
        assert (operation["done"], operation["skipped"]) == (moved, 3 - moved)
        for task_id in task_ids:
            await world.queued(task_id)
            row = await world.dispatch(task_id)
            assert (row["priority"], row["epoch"]) == ((1, 2) if moved else (3, 1))
    for task_id in task_ids:
        assert (await world.ended(task_id))["status"] == "COMPLETED"
        assert BOARD.runs[task_id] == 1


async def queued(world: World, task_id: str) -> None:
    """Return when the engine has the task."""
    await eventually(lambda: world.dispatch(task_id), lambda found: found["state"] == "queued", within=PATIENCE)
