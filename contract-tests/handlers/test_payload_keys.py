"""A handler is given the same keys on both backends, whoever made the task: a client, a DAG, a producer of its own."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

import pytest
import redis.asyncio

from backends.redis_queue.wire import TYPES
from contracts.dag_world import Dags
from contracts.endpoints import CREATING, Endpoint, body_of
from contracts.people import Household
from contracts.probes import BOARD
from contracts.world import World
from gateway.routing.stages import Stage
from workers.testing.waiting import eventually

#: Of every payload (contract §5).
ALL = {"task_type", "task_id", "timestamp"}
#: Whom a task belongs to, beside the group.
OWNER = {"tenant_id", "project_id", "user_id"}


def group_key(task_type: str) -> str:
    return TYPES[task_type].group_key if task_type in TYPES else "group_id"


async def given(world: World, task_id: str, group_id: str) -> set[str]:
    """The keys that the handler was given, once it ran; what stands in those of the wire is checked."""
    assert (await world.ended(task_id))["status"] == "COMPLETED"
    payload = BOARD.payloads[task_id]
    assert payload["task_id"] == task_id
    assert abs(time.time() - payload["timestamp"]) < 120
    assert payload[group_key(payload["task_type"])] == group_id
    return set(payload)


@pytest.mark.parametrize("endpoint", CREATING[:-1], ids=str)
async def test_of_the_legacy_endpoints(world: World, home: Household, endpoint: Endpoint) -> None:
    await world.flip()
    body = body_of(endpoint, home)
    params = {**dict(endpoint.query), "project_id": home.project_id}
    if endpoint.path.endswith("/deduplicate"):
        body = {"dry_run": False}
    answer = await world.client(home.owner).request(endpoint.method, endpoint.path, params=params, json=body)
    assert answer.status_code < 300, answer.text
    task_id = answer.json()["task_id"]
    wire = TYPES[(await world.row(task_id))["task_type"]]
    assert await given(world, task_id, home.project_id) == ALL | set(wire.keys)


@pytest.mark.parametrize("task_type", ["contract_probe", *TYPES])
async def test_of_submissions(world: World, home: Household, task_type: str) -> None:
    await world.flip()
    body = {"type": task_type, "payload": {"own": 1, "timestamp": "x"}, "project_id": home.project_id}
    answer = await world.client(home.owner).post("/gateway/v1/tasks", json=body)
    assert answer.status_code == 202, answer.text
    keys = await given(world, answer.json()["task_id"], home.project_id)
    assert keys == ALL | OWNER | {"own", group_key(task_type)}


@pytest.mark.parametrize("task_type", ["contract_probe", "add_episode", "rebuild_communities"])
async def test_of_producers_that_know_no_gateway(world: World, home: Household, task_type: str) -> None:
    if world.stage == "complete":
        pytest.skip("Redis is down for good at this stage; nobody pushes")
    await world.flip()
    task_id = f"pushed-{secrets.token_hex(6)}"
    payload: dict[str, Any] = {"task_type": task_type, "task_id": task_id, "timestamp": time.time(), "own": 1}
    if task_type != "contract_probe":  # of a type of its own the group is known by the list alone
        payload[group_key(task_type)] = home.project_id
    async with redis.asyncio.from_url(world.servers.redis_url) as queue:
        await queue.sadd("queue:active_groups", home.project_id)
        await queue.rpush(f"queue:group:{home.project_id}", json.dumps(payload))
    await eventually(lambda: world.database.fetchrow("SELECT 1 FROM task_logs WHERE id = $1", task_id), bool)
    assert await given(world, task_id, home.project_id) == ALL | {"own", group_key(task_type)}


@pytest.mark.parametrize("task_type", ["contract_probe", "add_episode", "rebuild_communities"])
async def test_of_steps(world: World, home: Household, task_type: str) -> None:
    if world.stage == "off":
        pytest.skip("DAGs need Temporal, which is not configured at this stage")
    if world.stage == "flipped":
        await world.flag.set(Stage.LIVE, home.tenant_id)
    dags = Dags(world, home)  # type: ignore[arg-type]
    run = await dags.run(f"nodes: {{one: {{type: {task_type}, input: {{own: 1}}}}}}")
    assert run["status"] == "completed", run
    [node] = run["nodes"]
    assert await given(world, node["task_id"], home.project_id) == ALL | OWNER | {"own", group_key(task_type)}
