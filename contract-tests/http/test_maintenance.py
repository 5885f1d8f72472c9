"""Contract §4: `POST /api/v1/maintenance/…`."""

from __future__ import annotations

import json
from typing import Any

import neo4j
import pytest

from contracts.people import Household
from contracts.probes import BOARD
from contracts.shapes import INVALID, TASK, check, iso, uuid
from contracts.world import World

MAINTENANCE = "/api/v1/maintenance"


async def post(world: World, home: Household, path: str, body: Any = None, **query: str) -> dict[str, Any]:
    """`body` None: no body at all."""
    content = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    url = f"{MAINTENANCE}/{path}"
    answer = await world.client(home.owner).post(url, content=content, headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def task_of(world: World, home: Household, task_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The task once it is completed, and what its worker was given."""
    await world.ended(task_id)
    answer = await world.client(home.owner).get(f"/api/v1/tasks/{task_id}")
    given = {name: value for name, value in BOARD.payloads[task_id].items() if name != "timestamp"}
    return answer.json(), given


# refresh ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [{"episode_uuids": ["e1", "e2"]}, {"episode_uuids": ["e1", "e2"], "other": 1}])
async def test_refresh_of_named_episodes(world: World, home: Household, body: dict[str, Any]) -> None:
    answer = await post(world, home, "refresh/incremental", body)
    expected = {"status": "success", "message": "Incremental refresh task queued", "task_id": uuid}
    check(answer, {**expected, "episodes_to_process": 2})
    await world.flip()
    task, given = await task_of(world, home, answer["task_id"])
    check(task, {**TASK, "name": "incremental_refresh", "entity_type": "refresh", "entity_id": f"{home.tenant_id}:2"})
    assert given == {
        "task_type": "incremental_refresh",
        "task_id": answer["task_id"],
        "group_id": home.tenant_id,
        "group_ids": [home.tenant_id, home.project_id],
        "episode_uuids": ["e1", "e2"],
        "rebuild_communities": False,
        "tenant_id": home.tenant_id,
        "project_id": None,
        "user_id": home.owner.user_id,
    }


@pytest.mark.parametrize("body", [{}, None, {"episode_uuids": None}, {"episode_uuids": []}])
async def test_refresh_of_recent_episodes(world: World, home: Household, body: Any) -> None:
    answer = await post(world, home, "refresh/incremental", body)
    assert answer["episodes_to_process"] == "recent episodes"
    await world.flip()
    task, given = await task_of(world, home, answer["task_id"])
    assert task["entity_id"] == f"{home.tenant_id}:recent"
    assert not given["episode_uuids"]


async def test_refresh_with_communities(world: World, home: Household) -> None:
    answer = await post(world, home, "refresh/incremental", {"rebuild_communities": True})
    _, given = await task_of(world, home, answer["task_id"])
    assert given["rebuild_communities"] is True


# deduplicate ------------------------------------------------------------------------------------------------


async def test_deduplication(world: World, home: Household) -> None:
    answer = await post(world, home, "deduplicate", {"similarity_threshold": 0.8, "dry_run": False})
    expected = {"status": "success", "message": "Deduplication task queued", "task_id": uuid, "dry_run": False}
    check(answer, expected)
    await world.flip()
    task, given = await task_of(world, home, answer["task_id"])
    check(task, {**TASK, "name": "deduplicate_entities", "entity_type": "deduplication", "entity_id": home.tenant_id})
    assert given == {
        "task_type": "deduplicate_entities",
        "task_id": answer["task_id"],
        "group_id": home.tenant_id,
        "group_ids": [home.tenant_id, home.project_id],
        "similarity_threshold": 0.8,
        "dry_run": False,
        "project_id": None,
    }


async def test_deduplication_takes_nine_tenths_by_default(world: World, home: Household) -> None:
    answer = await post(world, home, "deduplicate", {"dry_run": False})
    assert (await world.row(answer["task_id"]))["payload"]["similarity_threshold"] == 0.9


@pytest.mark.parametrize("body", [{"dry_run": True}, {}, None, {"dry_run": True, "similarity_threshold": 1}])
async def test_deduplication_as_a_dry_run(world: World, home: Household, body: Any) -> None:
    driver = neo4j.AsyncGraphDatabase.driver(world.servers.graph_url)
    async with driver:
        await driver.execute_query(
            "UNWIND ['Charles Babbage', 'charles babbage ', 'Ada'] AS name CREATE"
            " (:Entity {uuid: randomUUID(), name: name, group_id: $group, created_at: datetime(), summary: ''})",
            group=home.project_id,
        )
        answer = await post(world, home, "deduplicate", body, project_id=home.project_id)
    check(
        answer,
        {
            "dry_run": True,
            "duplicates_found": 1,
            "duplicate_groups": [{"name": str, "count": 2, "uuids": [uuid]}],
            "message": str,
        },
    )
    assert len(answer["duplicate_groups"]) == 1
    assert (await world.client(home.owner).get("/api/v1/tasks/")).json()["tasks"] == []


async def test_a_dry_run_that_finds_nothing(world: World, home: Household) -> None:
    answer = await post(world, home, "deduplicate", {}, project_id=home.project_id)
    check(answer, {"dry_run": True, "duplicates_found": 0, "duplicate_groups": [], "message": str})


@pytest.mark.parametrize("threshold", [-0.1, 1.1, "high", None])
async def test_a_threshold_is_between_zero_and_one(world: World, home: Household, threshold: Any) -> None:
    body = {"similarity_threshold": threshold, "dry_run": False}
    answer = await world.client(home.owner).post(f"{MAINTENANCE}/deduplicate", json=body)
    assert answer.status_code == 422
    check(answer.json(), INVALID)


# optimize ---------------------------------------------------------------------------------------------------


async def test_optimization(world: World, home: Household) -> None:
    operations = ["deduplicate", "rebuild_communities", "incremental_refresh"]
    answer = await post(world, home, "optimize", {"operations": operations, "dry_run": False})
    result = {"operation": str, "result": lambda value: isinstance(value["status"], str) and uuid(value["task_id"])}
    check(answer, {"operations_run": [result], "dry_run": False, "timestamp": str})
    assert [run["operation"] for run in answer["operations_run"]] == operations
    await world.flip()
    names = [(await task_of(world, home, run["result"]["task_id"]))[0]["name"] for run in answer["operations_run"]]
    assert names == ["deduplicate_entities", "rebuild_communities", "incremental_refresh"]


async def test_optimization_by_default(world: World, home: Household) -> None:
    """Two operations, as a dry run."""
    for body in ({}, None, {"dry_run": True}):
        answer = await post(world, home, "optimize", body, project_id=home.project_id)
        check(
            answer,
            {
                "operations_run": [{"operation": str, "result": lambda value: value["dry_run"] is True}],
                "dry_run": True,
                "timestamp": iso,
            },
        )
        assert [run["operation"] for run in answer["operations_run"]] == ["incremental_refresh", "deduplicate"]
    assert (await world.client(home.owner).get("/api/v1/tasks/")).json()["tasks"] == []


async def test_optimization_of_nothing(world: World, home: Household) -> None:
    for operations in ([], ["no such operation"]):
        answer = await post(world, home, "optimize", {"operations": operations, "dry_run": False})
        assert answer["operations_run"] == []


@pytest.mark.parametrize("body", [{"operations": "deduplicate"}, {"operations": [1]}, {"dry_run": "perhaps"}, [], "x"])
async def test_what_is_no_optimization(world: World, home: Household, body: Any) -> None:
    answer = await world.client(home.owner).post(f"{MAINTENANCE}/optimize", json=body)
    assert answer.status_code == 422
    check(answer.json(), INVALID)
