"""Quirk G1: without a project a task works on its own tenant's groups of the graph, whatever way it came."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import neo4j
import pytest

from gateway.access.groups import own_group

EPISODES = "/api/v1/episodes/"
TASKS = "/gateway/v1/tasks"
MAINTENANCE = {
    "deduplicate_entities": ("/api/v1/maintenance/deduplicate", {"dry_run": False}),
    "incremental_refresh": ("/api/v1/maintenance/refresh/incremental", {}),
    "rebuild_communities": ("/api/v1/communities/rebuild?background=true", {}),
}
TYPES = sorted(MAINTENANCE)


@pytest.fixture
async def shared(serve: Any, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """Ann's client of a gateway with one group for all."""
    async with serve(shared_default_group=True) as (client, _):
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


async def maintain(client: httpx.AsyncClient, task_type: str, **headers: str) -> str:
    url, body = MAINTENANCE[task_type]
    answer = await client.post(url, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["task_id"])


async def submit(client: httpx.AsyncClient, body: dict[str, Any], headers: dict[str, str] | None = None) -> str:
    answer = await client.post(TASKS, json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def group_in(payload: dict[str, Any]) -> str:
    """As its handler reads it."""
    name = "task_group_id" if payload["task_type"] == "rebuild_communities" else "group_id"
    return str(payload[name])


async def test_episodes_of_two_tenants(client: httpx.AsyncClient, bob: dict[str, str], task_of: Any) -> None:
    groups = []
    for headers in ({}, bob):
        answer = await client.post(EPISODES, json={"content": "x"}, headers=headers)
        task = await task_of(answer.json()["task_id"])
        assert task["group_id"] == task["payload"]["group_id"]
        groups.append(task["group_id"])
    assert groups == ["t-ann", "t-bob"]


@pytest.mark.parametrize("tenant_id", ["acme corp", "global", "neo4j", "p-bob"])
async def test_an_id_that_is_no_group(
    client: httpx.AsyncClient, people: Any, key: str, task_of: Any, tenant_id: str
) -> None:
    """`p-bob` is a project of another tenant."""
    await people.add_tenant(tenant_id, "ann")
    hashed = own_group(tenant_id, "ann", is_taken=True)
    answer = await client.post(EPISODES, json={"content": "x", "tenant_id": tenant_id})
    assert (await task_of(answer.json()["task_id"]))["group_id"] == hashed
    for body in (
        {"tenant_id": tenant_id},
        {"group_id": f"tenant:{tenant_id}"},
        {"group_id": hashed, "tenant_id": tenant_id},
    ):
        task = await task_of(await submit(client, {"type": "deduplicate_entities", **body}))
        assert (task["group_id"], task["payload"]["group_ids"]) == (hashed, [hashed])


@pytest.mark.parametrize("task_type", TYPES)
async def test_maintenance_covers_the_tenant(
    client: httpx.AsyncClient, people: Any, task_of: Any, task_type: str
) -> None:
    await people.add_project("p-ann2", "t-ann", "ann")
    for task_id in (await maintain(client, task_type), await submit(client, {"type": task_type})):
        task = await task_of(task_id)
        assert (task["group_id"], group_in(task["payload"])) == ("t-ann", "t-ann")
        assert task["payload"]["group_ids"] == ["t-ann", "p-ann", "p-ann2"]


@pytest.mark.parametrize("task_type", TYPES)
async def test_maintenance_of_a_project(client: httpx.AsyncClient, task_of: Any, task_type: str) -> None:
    task = await task_of(await submit(client, {"type": task_type, "project_id": "p-ann"}))
    assert group_in(task["payload"]) == "p-ann"
    assert "group_ids" not in task["payload"]


@pytest.mark.parametrize("task_type", TYPES)
async def test_maintenance_by_an_administrator(
    client: httpx.AsyncClient, admin: dict[str, str], task_of: Any, task_type: str
) -> None:
    everything = [await maintain(client, task_type, **admin), await submit(client, {"type": task_type}, admin)]
    for task_id in everything:
        payload = (await task_of(task_id))["payload"]
        assert group_in(payload) == "global"
        assert "group_ids" not in payload
    of_one = await submit(client, {"type": task_type, "tenant_id": "t-bob"}, admin)
    assert (await task_of(of_one))["payload"]["group_ids"] == ["t-bob", "p-bob"]


@pytest.mark.parametrize("given", [["p-bob"], ["t-ann", "p-ann", "p-bob"], [], "p-bob", {"a": 1}])
@pytest.mark.parametrize("place", [{}, {"project_id": "p-ann"}])
async def test_the_groups_are_not_the_clients_to_name(
    client: httpx.AsyncClient, count: Any, given: Any, place: dict[str, str]
) -> None:
    for task_type in TYPES:
        body = {"type": task_type, "payload": {"group_ids": given}, **place}
        assert (await client.post(TASKS, json=body)).status_code == 403
        answer = await client.post(f"{TASKS}/batch", json={"tasks": [body]})
        assert answer.status_code == 403, answer.text
    assert await count() == 0


async def test_a_batch(client: httpx.AsyncClient, task_of: Any) -> None:
    tasks = [{"type": "add_episode", "payload": {"content": "x"}}, {"type": "rebuild_communities"}]
    answer = await client.post(f"{TASKS}/batch", json={"tasks": tasks})
    episode, rebuild = [(await task_of(item["task_id"]))["payload"] for item in answer.json()["tasks"]]
    assert (group_in(episode), group_in(rebuild)) == ("t-ann", "t-ann")
    assert rebuild["group_ids"] == ["t-ann", "p-ann"]
    assert "group_ids" not in episode


async def test_one_group_for_all(shared: httpx.AsyncClient, task_of: Any) -> None:
    answer = await shared.post(EPISODES, json={"content": "x"})
    assert (await task_of(answer.json()["task_id"]))["group_id"] == "neo4j"
    for task_type in TYPES:
        for task_id in (await maintain(shared, task_type), await submit(shared, {"type": task_type})):
            payload = (await task_of(task_id))["payload"]
            assert group_in(payload) == ("global" if task_type == "rebuild_communities" else "neo4j")
            assert "group_ids" not in payload


async def test_a_dry_run_looks_where_the_task_does(
    serve: Any, key: str, bob: dict[str, str], neo4j_server: str
) -> None:
    driver = neo4j.AsyncGraphDatabase.driver(neo4j_server)
    groups = ["t-ann", "p-ann", "t-bob", "p-bob", "neo4j"]
    async with driver:
        await driver.execute_query(
            "UNWIND $groups AS g UNWIND [g + ' Limited', g + ' limited '] AS name"
            " CREATE (:Entity {uuid: randomUUID(), name: name, group_id: g, created_at: datetime(), of: 'dry run'})",
            groups=groups,
        )
        try:
            async with serve(graph_url=neo4j_server) as (client, _):
                found = []
                for headers in ({"Authorization": key}, bob):
                    answer = await client.post("/api/v1/maintenance/deduplicate", headers=headers)
                    found.append(sorted(group["name"].split()[0] for group in answer.json()["duplicate_groups"]))
        finally:
            await driver.execute_query("MATCH (n:Entity {of: 'dry run'}) DETACH DELETE n")
    assert found == [["p-ann", "t-ann"], ["p-bob", "t-bob"]]


@pytest.mark.parametrize("task_type", TYPES)
async def test_a_schedule(client: httpx.AsyncClient, people: Any, task_of: Any, task_type: str) -> None:
    """The groups are those of the moment when it fires."""
    body = {"name": "nightly", "specs": [{"cron": "0 3 * * *"}], "action": {"type": task_type}}
    created = await client.post("/gateway/v1/schedules", json=body)
    assert created.status_code == 201, created.text
    await people.add_project("p-ann2", "t-ann", "ann")
    fired = await client.post(f"/gateway/v1/schedules/{created.json()['schedule_id']}/run", json={})
    payload = (await task_of(fired.json()["task_id"]))["payload"]
    assert (group_in(payload), payload["group_ids"]) == ("t-ann", ["t-ann", "p-ann", "p-ann2"])


async def test_an_edited_dead_letter(client: httpx.AsyncClient, database: Any) -> None:
    """An edit neither widens the groups nor loses them."""
    task_id = await submit(client, {"type": "deduplicate_entities", "payload": {"similarity_threshold": "high"}})
    await database.execute("UPDATE task_logs SET status = 'FAILED' WHERE id = $1", task_id)
    await database.execute("UPDATE taskgate.dispatch SET state = 'failed' WHERE task_id = $1", task_id)
    url = f"/gateway/v1/dead-letters/{task_id}/redrive"
    for edit in ({"patch": {"group_ids": ["p-bob"]}}, {"payload": {"group_ids": ["t-ann", "p-bob"]}}):
        answer = await client.post(url, json={"edit": edit})
        assert answer.status_code == 403, answer.text
    answer = await client.post(url, json={"edit": {"payload": {"similarity_threshold": 0.9}}})
    assert answer.status_code < 300, answer.text
    payload = json.loads(await database.fetchval("SELECT payload FROM task_logs WHERE id = $1", task_id))
    assert (payload["similarity_threshold"], payload["group_ids"]) == (0.9, ["t-ann", "p-ann"])
