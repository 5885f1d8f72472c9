"""Who may see and name what (contract §1, §4; A1, C1)."""

from __future__ import annotations

import pytest

from contracts.endpoints import OF_TASK, WITH_BODY, body_of
from contracts.people import Household
from contracts.shapes import TASK, check
from contracts.world import World

NO_PROJECT = {"detail": "You do not have access to this project"}
NO_TENANT = {"detail": "You do not have access to this tenant"}


async def test_a_task_of_another_tenant_is_like_none(world: World, home: Household, stranger: Household) -> None:
    failed = await world.submit(home, "fatal")
    before = await world.ended(failed)
    waiting = await world.submit(home, delay_seconds=3600)
    await world.flip()
    for task_id in (failed, waiting):
        for endpoint in OF_TASK:
            path = endpoint.path.format(task=task_id)
            answer = await world.client(stranger.owner).request(endpoint.method, path)
            assert (answer.status_code, answer.json()) == (404, {"detail": "Task not found"})
    assert await world.row(failed) == before
    assert (await world.row(waiting))["status"] == "PROCESSING"


async def test_nothing_of_another_tenant_is_listed_or_counted(
    world: World, home: Household, stranger: Household
) -> None:
    task_id = await world.submit(home)
    await world.ended(task_id)
    client = world.client(stranger.owner)
    tasks = "/api/v1/tasks"
    assert (await client.get(f"{tasks}/")).json() == {"tasks": [], "total": 0}
    for query in ({}, {"search": task_id}, {"task_type": "contract_probe"}, {"status": "completed"}):
        assert (await client.get(f"{tasks}/recent", params=query)).json() == []
    stats = (await client.get(f"{tasks}/stats")).json()
    assert set(stats.values()) == {0}
    assert set((await client.get(f"{tasks}/status-breakdown")).json().values()) == {0}
    assert {point["depth"] for point in (await client.get(f"{tasks}/queue-depth")).json()} == {0}


async def test_everybody_in_a_tenant_sees_its_tasks(world: World, home: Household) -> None:
    task_id = await world.submit(home)
    await world.ended(task_id)
    for person in (home.owner, home.member):
        answer = await world.client(person).get(f"/api/v1/tasks/{task_id}")
        check(answer.json(), {**TASK, "id": task_id})


async def test_an_administrator_sees_and_steers_all(world: World, home: Household, stranger: Household) -> None:
    mine = await world.submit(home, delay_seconds=3600)
    other = await world.submit(stranger, delay_seconds=3600)
    client = world.client(world.admin)
    listed = {task["task_id"] for task in (await client.get("/api/v1/tasks/")).json()["tasks"]}
    assert {mine, other} <= listed
    assert (await client.get("/api/v1/tasks/stats")).json()["pending"] >= 2
    await world.flip()
    for task_id in (mine, other):
        assert (await client.get(f"/api/v1/tasks/{task_id}")).json()["status"] == "Pending"
        assert (await client.post(f"/api/v1/tasks/{task_id}/stop")).status_code == 200


async def test_who_belongs_to_two_tenants_sees_both(world: World, home: Household, stranger: Household) -> None:
    person = await world.people.person()
    for household in (home, stranger):
        await world.people.join_tenant(person, household.tenant_id, "guest")
    mine, other = await world.submit(home), await world.submit(stranger)
    await world.flip()
    listed = {task["id"] for task in (await world.client(person).get("/api/v1/tasks/recent")).json()}
    assert listed == {mine, other}


# Where a task belongs ---------------------------------------------------------------------------------------


async def test_a_project_decides(world: World, home: Household, stranger: Household) -> None:
    """A project's tenant counts, not one that is named beside it, nor the caller's own."""
    await world.people.join_tenant(stranger.owner, home.tenant_id, "member")
    body = {"content": "x", "project_id": home.project_id, "tenant_id": stranger.tenant_id}
    answer = await world.client(stranger.owner).post("/api/v1/episodes/", json=body)
    assert answer.status_code == 202
    dispatch = await world.dispatch(answer.json()["task_id"])
    assert (dispatch["tenant_id"], dispatch["project_id"]) == (home.tenant_id, home.project_id)
    assert (await world.row(answer.json()["task_id"]))["payload"]["tenant_id"] == home.tenant_id


async def test_else_the_tenant_that_is_named(world: World, home: Household, stranger: Household) -> None:
    await world.people.join_tenant(stranger.owner, home.tenant_id, "member")
    body = {"content": "x", "tenant_id": home.tenant_id}
    answer = await world.client(stranger.owner).post("/api/v1/episodes/", json=body)
    assert (await world.dispatch(answer.json()["task_id"]))["tenant_id"] == home.tenant_id


async def test_else_the_callers_own(world: World, home: Household) -> None:
    answer = await world.client(home.member).post("/api/v1/episodes/", json={"content": "x"})
    assert (await world.dispatch(answer.json()["task_id"]))["tenant_id"] == home.tenant_id


async def test_a_foreign_tenant_may_not_be_named(world: World, home: Household, stranger: Household) -> None:
    """C1: legacy did not look."""
    count = "SELECT count(*) FROM task_logs"
    before = await world.database.fetchval(count)
    for tenant_id in (home.tenant_id, "no-such-tenant"):
        body = {"content": "x", "tenant_id": tenant_id}
        answer = await world.client(stranger.owner).post("/api/v1/episodes/", json=body)
        assert (answer.status_code, answer.json()) == (403, NO_TENANT)
    assert await world.database.fetchval(count) == before


@pytest.mark.parametrize("endpoint", WITH_BODY, ids=str)
async def test_a_foreign_project_may_not_be_named(world: World, home: Household, endpoint, stranger: Household) -> None:
    body = body_of(endpoint, home)
    query = {} if "project_id" in (body or {}) else {"project_id": home.project_id}
    answer = await world.client(stranger.owner).post(endpoint.path, json=body, params=query)
    assert (answer.status_code, answer.json()) == (403, NO_PROJECT)


async def test_who_is_only_in_a_project_may_use_it(world: World, home: Household) -> None:
    body = {"content": "x", "project_id": home.project_id}
    for person in (home.guest_member, home.viewer):
        answer = await world.client(person).post("/api/v1/episodes/", json=body)
        assert answer.status_code == 202
        assert (await world.dispatch(answer.json()["task_id"]))["tenant_id"] == home.tenant_id
