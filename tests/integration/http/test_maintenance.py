"""Contract §4: the endpoints of maintenance, their answers and the payloads of §5 that they leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from backends.redis_queue.wire import WIRE_KEYS

REFRESH = "/api/v1/maintenance/refresh/incremental"
DEDUPLICATE = "/api/v1/maintenance/deduplicate"
OPTIMIZE = "/api/v1/maintenance/optimize"

WIRE = set(WIRE_KEYS)

Count = Callable[..., Awaitable[int]]


@pytest.mark.parametrize(
    ("body", "query", "entity_id", "to_process"),
    [
        (None, "", "t-ann:recent", "recent episodes"),
        ({}, "?project_id=p-ann", "p-ann:recent", "recent episodes"),
        ({"episode_uuids": ["a", "b"], "rebuild_communities": True}, "", "t-ann:2", 2),
        ({"episode_uuids": []}, "", "t-ann:recent", "recent episodes"),
    ],
)
async def test_refresh(
    client: httpx.AsyncClient, task_of: Any, body: Any, query: str, entity_id: str, to_process: Any
) -> None:
    answer = await client.post(REFRESH + query, json=body) if body is not None else await client.post(REFRESH + query)
    assert answer.status_code == 200
    task_id = answer.json()["task_id"]
    assert answer.json() == {
        "status": "success",
        "message": "Incremental refresh task queued",
        "task_id": task_id,
        "episodes_to_process": to_process,
    }
    task, group = await task_of(task_id), entity_id.partition(":")[0]
    assert (task["task_type"], task["entity_type"], task["entity_id"]) == ("incremental_refresh", "refresh", entity_id)
    assert task["tenant_id"] == "t-ann"
    assert {name: task["payload"][name] for name in task["payload"].keys() - WIRE} == {
        "group_id": group,
        "episode_uuids": (body or {}).get("episode_uuids") or None,
        "rebuild_communities": (body or {}).get("rebuild_communities", False),
        "tenant_id": "t-ann",
        "project_id": None if group == "t-ann" else group,
        "user_id": "ann",
        **({"group_ids": ["t-ann", "p-ann"]} if group == "t-ann" else {}),
    }


async def test_deduplicate(client: httpx.AsyncClient, task_of: Any) -> None:
    answer = await client.post(DEDUPLICATE, json={"dry_run": False, "similarity_threshold": 0.8})
    assert answer.status_code == 200
    task_id = answer.json()["task_id"]
    assert answer.json() == {
        "status": "success",
        "message": "Deduplication task queued",
        "task_id": task_id,
        "dry_run": False,
    }
    task = await task_of(task_id)
    assert (task["task_type"], task["entity_type"], task["entity_id"]) == (
        "deduplicate_entities",
        "deduplication",
        "t-ann",
    )
    assert {name: task["payload"][name] for name in task["payload"].keys() - WIRE} == {
        "group_id": "t-ann",
        "similarity_threshold": 0.8,
        "dry_run": False,
        "project_id": None,
        "group_ids": ["t-ann", "p-ann"],
    }


@pytest.mark.parametrize("url", [DEDUPLICATE, OPTIMIZE])
async def test_a_dry_run_without_a_graph(serve: Any, key: str, count: Count, url: str) -> None:
    async with serve(graph_url=None) as (client, _):
        answer = await client.post(url, headers={"Authorization": key})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "graph" in answer.json()["detail"]
    assert await count() == 0


async def test_a_dry_run_with_a_graph_that_is_away(serve: Any, key: str) -> None:
    async with serve(graph_url="bolt://127.0.0.1:1") as (client, _):
        answer = await client.post(DEDUPLICATE, headers={"Authorization": key})
    assert answer.status_code == 503


@pytest.mark.parametrize("threshold", [-0.1, 1.1, "much"])
async def test_a_threshold_out_of_range(client: httpx.AsyncClient, threshold: Any) -> None:
    answer = await client.post(DEDUPLICATE, json={"similarity_threshold": threshold})
    assert answer.status_code == 422


async def test_optimize(client: httpx.AsyncClient, count: Count, task_of: Any) -> None:
    operations = ["rebuild_communities", "deduplicate", "unheard_of", "incremental_refresh"]
    answer = await client.post(OPTIMIZE, json={"operations": operations, "dry_run": False})
    body = answer.json()
    assert (answer.status_code, body["dry_run"]) == (200, False)
    assert datetime.fromisoformat(body["timestamp"]) <= datetime.now(UTC)
    assert [run["operation"] for run in body["operations_run"]] == [
        "rebuild_communities",
        "deduplicate",
        "incremental_refresh",
    ]
    types = [(await task_of(run["result"]["task_id"]))["task_type"] for run in body["operations_run"]]
    assert types == ["rebuild_communities", "deduplicate_entities", "incremental_refresh"]
    assert {run["result"]["status"] for run in body["operations_run"]} == {"success"}
    assert await count() == 3


async def test_too_many_operations(client: httpx.AsyncClient) -> None:
    assert (await client.post(OPTIMIZE, json={"operations": ["deduplicate"] * 101})).status_code == 422


async def test_a_dry_optimization_creates_nothing(client: httpx.AsyncClient, count: Count) -> None:
    answer = await client.post(OPTIMIZE, json={"operations": ["incremental_refresh", "rebuild_communities"]})
    assert answer.status_code == 200
    assert [run["result"]["dry_run"] for run in answer.json()["operations_run"]] == [True, True]
    assert await count() == 0
