"""Work that waits on a real engine while its tenant changes its tier, or is paused: it is kept, and runs once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contracts.people import Household
from contracts.probes import BOARD
from contracts.world import PATIENCE, World
from workers.testing.waiting import eventually


async def until(world: World, task_id: str, is_so: Callable[[Any], bool]) -> None:
    """Return once the dispatch row of the task says so."""
    await eventually(lambda: world.dispatch(task_id), is_so, within=PATIENCE)


async def ran_once(world: World, task_ids: list[str]) -> None:
    for task_id in task_ids:
        assert (await world.ended(task_id))["status"] == "COMPLETED"
        assert BOARD.runs[task_id] == 1


async def set_tier(world: World, home: Household, tier: str) -> None:
    body = {"tier": tier, "why": "test"}
    answer = await world.client(world.admin).put(f"/gateway/v1/tenants/{home.tenant_id}", json=body)
    assert answer.status_code == 200, answer.text


async def test_what_waits_follows_the_tier(world: World, home: Household) -> None:
    own, shared = f"tenant-{home.tenant_id}-add_episode", "shared-add_episode"
    await set_tier(world, home, "standard")
    async with world.jammed():
        task_ids = [await world.submit(home, type="add_episode") for _ in range(4)]
        for tier, queue in (
            ("standard", shared),
            ("vip", own),
            ("enterprise", own),
            ("standard", shared),
            ("vip", own),
        ):
            await set_tier(world, home, tier)
            for task_id in task_ids:
                await until(
                    world,
                    task_id,
                    lambda row, queue=queue: (
                        row["state"] == "queued" and row["queue"] in (queue, None)
                        if row["backend"] == "temporal"
                        else row["state"] == "queued"
                    ),
                )
        if (await world.dispatch(task_ids[0]))["backend"] == "temporal":
            # Moved three times: VIP and enterprise tenants have the same queue.
            assert {(await world.dispatch(task_id))["epoch"] for task_id in task_ids} == {4}
        await world.flip()
    await ran_once(world, task_ids)


@pytest.mark.parametrize("scope", ["tenant", "project", "type"])
async def test_what_is_paused_waits(world: World, home: Household, stranger: Household, scope: str) -> None:
    """Engines from which nothing is called back offer it again and again, and every claim is refused."""
    kind = "add_episode"
    paused = {
        "tenant": {"tenant_id": home.tenant_id},
        "project": {"project_id": home.project_id},
        "type": {"task_type": kind},
    }[scope]
    admin = world.client(world.admin)
    async with world.jammed():
        queued = [await world.submit(home, type=kind) for _ in range(2)]
        for task_id in queued:
            await until(world, task_id, lambda row: row["state"] == "queued")
        answer = await admin.post("/gateway/v1/pauses", json={**paused, "why": "test"})
        assert answer.status_code == 201, answer.text
        pause_id = answer.json()["pause_id"]
        try:
            later = [await world.submit(home, type=kind) for _ in range(2)]
            for task_id in later:
                await until(world, task_id, lambda row: row["held"] == f"paused:{pause_id}")
            if (await world.dispatch(queued[0]))["backend"] == "temporal":
                for task_id in queued:
                    await until(world, task_id, lambda row: row["held"] == f"paused:{pause_id}")
            await world.flip()
            BOARD.release_all()
            others = [await world.submit(stranger) for _ in range(3)]
            await ran_once(world, others)
            assert [BOARD.runs[task_id] for task_id in queued + later] == [0] * 4
        finally:
            answer = await admin.delete(f"/gateway/v1/pauses/{pause_id}", params={"why": "test"})
    assert answer.status_code == 204
    await ran_once(world, queued + later)
