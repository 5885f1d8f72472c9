"""What `/gateway/v1/tasks` takes beyond type and payload, on either backend."""

from __future__ import annotations

from contracts.people import Household
from contracts.probes import BOARD
from contracts.world import World


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
