"""Delays and schedules: what becomes due runs once, on the backend of that moment."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.people import Household
from contracts.probes import BOARD
from contracts.world import PATIENCE, World


async def schedule(world: World, home: Household, do: str = "", **fields: Any) -> str:
    """The URL of a new schedule of the household."""
    action = {"type": "contract_probe", "payload": {"do": do}, "project_id": home.project_id}
    body = {"name": "n", "specs": [{"cron": "@yearly"}], "action": action, **fields}
    answer = await world.client(home.owner).post("/gateway/v1/schedules", json=body)
    assert answer.status_code == 201, answer.text
    return f"/gateway/v1/schedules/{answer.json()['schedule_id']}"


async def test_each_time_runs_once(world: World, home: Household) -> None:
    begin = datetime.now(UTC)
    moments = [(begin + timedelta(seconds=seconds)).isoformat() for seconds in (0.4, 0.8, 1.2)]
    url = await schedule(world, home, specs=[{"at": moments}], overlap="allow_all")
    tasks: dict[str, str] = {}
    async with asyncio.timeout(PATIENCE):
        while len(tasks) < 3:
            firings = (await world.client(home.owner).get(f"{url}/history")).json()["firings"]
            new = {firing["nominal_at"]: firing["task_id"] for firing in firings if firing["outcome"] == "fired"}
            if len(new) > len(tasks):
                await world.flip()
            tasks = new
            await asyncio.sleep(0.02)
    assert [datetime.fromisoformat(time) for time in sorted(tasks)] == [
        datetime.fromisoformat(time) for time in moments
    ]
    for task_id in tasks.values():
        assert (await world.ended(task_id))["status"] == "COMPLETED"
        assert BOARD.runs[task_id] == 1
        dispatch = await world.dispatch(task_id)
        assert (dispatch["tenant_id"], dispatch["schedule_id"]) == (home.tenant_id, url.rpartition("/")[2])
        assert (dispatch["backend"] == "redis") is (dispatch["stage"] == "off")


async def test_a_firing_in_place_of_the_one_before(world: World, home: Household) -> None:
    hold = BOARD.hold(name := secrets.token_hex(6))
    url = await schedule(world, home, f"hold {name}", overlap="cancel_other")
    client = world.client(home.owner)
    first = (await client.post(f"{url}/run")).json()["task_id"]
    async with asyncio.timeout(PATIENCE):
        await hold.started.wait()
    await world.flip()
    second = (await client.post(f"{url}/run")).json()["task_id"]
    async with asyncio.timeout(PATIENCE):
        await hold.cancelled.wait()
    hold.release()
    assert (await world.ended(first))["error_message"] == "Task stopped by user"
    assert (await world.ended(second))["status"] == "COMPLETED"


async def test_a_delayed_task_that_is_given_another_time(world: World, home: Household) -> None:
    task_id = await world.submit(home, delay_seconds=3600)
    await world.flip()
    url = f"/gateway/v1/tasks/{task_id}/run-at"
    answer = await world.client(home.owner).post(url, json={"delay_seconds": 0.5})
    run_at = datetime.fromisoformat(answer.json()["run_at"])
    row = await world.ended(task_id)
    assert row["status"] == "COMPLETED"
    assert row["started_at"].replace(tzinfo=row["started_at"].tzinfo or UTC) >= run_at
    assert BOARD.runs[task_id] == 1
    assert (await world.client(home.owner).post(url, json={"delay_seconds": 1})).status_code == 409


async def test_a_delayed_task_that_is_cancelled(world: World, home: Household) -> None:
    task_id = await world.submit(home, delay_seconds=0.3)
    assert (await world.client(home.owner).post(f"/api/v1/tasks/{task_id}/cancel")).status_code == 200
    await world.ended(await world.submit(home, delay_seconds=0.4))
    assert BOARD.runs[task_id] == 0
