"""Contract §4: `POST /api/v1/communities/rebuild`."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from contracts.people import Household
from contracts.probes import BOARD
from contracts.shapes import TASK, check, uuid
from contracts.world import PATIENCE, World

PATH = "/api/v1/communities/rebuild"


async def submit(world: World, home: Household, **query: str) -> str:
    answer = await world.client(home.owner).post(PATH, params={"background": "true", **query})
    assert answer.status_code == 200, answer.text
    task_id: str = answer.json()["task_id"]
    check(
        answer.json(),
        {"status": "submitted", "message": str, "task_id": uuid, "task_url": f"/api/v1/tasks/{task_id}"},
    )
    return task_id


async def test_in_the_background(world: World, home: Household) -> None:
    task_id = await submit(world, home, project_id=home.project_id)
    await world.flip()
    await world.ended(task_id)
    answer = await world.client(home.owner).get(f"/api/v1/tasks/{task_id}")
    check(answer.json(), {**TASK, "name": "rebuild_communities", "status": "Completed", "entity_type": "group"})
    given = {name: value for name, value in BOARD.payloads[task_id].items() if name != "timestamp"}
    assert given == {"task_type": "rebuild_communities", "task_id": task_id, "task_group_id": home.project_id}
    assert (await world.row(task_id))["group_id"] == home.project_id


async def test_without_a_project_everything_of_the_tenant_is_rebuilt(world: World, home: Household) -> None:
    """Quirk G1."""
    task_id = await submit(world, home)
    await world.flip()
    row = await world.ended(task_id)
    assert row["group_id"] == home.tenant_id
    assert row["payload"]["task_group_id"] == home.tenant_id
    assert row["payload"]["group_ids"] == [home.tenant_id, home.project_id]
    assert (await world.dispatch(task_id))["tenant_id"] == home.tenant_id


async def test_by_default_the_answer_waits_for_the_end(world: World, home: Household) -> None:
    name = secrets.token_hex(6)
    BOARD.script(home.project_id, f"hold {name}")
    waiting = [
        asyncio.create_task(world.client(home.owner).post(PATH, params={**query, "project_id": home.project_id}))
        for query in ({}, {"background": "false"})
    ]
    async with asyncio.timeout(PATIENCE):
        await BOARD.hold(name).started.wait()
    await world.flip()
    assert not any(answer.done() for answer in waiting)
    BOARD.hold(name).release()
    for answer in await asyncio.gather(*waiting):
        expected = {"status": "success", "message": "Communities rebuilt successfully"}
        assert (answer.status_code, answer.json()) == (200, expected)


async def test_a_rebuild_that_fails_is_an_error(world: World, home: Household) -> None:
    BOARD.script(home.project_id, "fatal the graph is gone")
    answer = await world.client(home.owner).post(PATH, params={"project_id": home.project_id})
    assert answer.status_code >= 500
    body: dict[str, Any] = answer.json()
    assert "the graph is gone" in body["detail"]


async def test_a_rebuild_that_is_stopped_is_an_error(world: World, home: Household) -> None:
    name = secrets.token_hex(6)
    BOARD.script(home.project_id, f"hold {name}")
    client = world.client(home.owner)
    waiting = asyncio.create_task(client.post(PATH, params={"project_id": home.project_id}))
    async with asyncio.timeout(PATIENCE):
        await BOARD.hold(name).started.wait()
    [task] = (await client.get("/api/v1/tasks/")).json()["tasks"]
    await world.flip()
    assert (await client.post(f"/api/v1/tasks/{task['task_id']}/stop")).status_code == 200
    answer = await waiting
    assert answer.status_code >= 500
    assert "Task stopped by user" in answer.json()["detail"]


async def test_strangers_may_not(world: World, home: Household, stranger: Household) -> None:
    for project_id in (home.project_id, "no-such-project"):
        answer = await world.client(stranger.owner).post(PATH, params={"project_id": project_id})
        assert (answer.status_code, answer.json()) == (403, {"detail": "You do not have access to this project"})


async def test_background_must_be_a_boolean(world: World, home: Household) -> None:
    answer = await world.client(home.owner).post(PATH, params={"background": "perhaps"})
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], list)
