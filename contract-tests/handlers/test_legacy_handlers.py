"""Contract §7: handlers written for the legacy worker run unmodified, on both backends (`memstack_handlers`)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import neo4j
import pytest_asyncio

from contracts.people import Household
from contracts.world import PATIENCE, World


@pytest_asyncio.fixture(scope="module")
async def once(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway that gives each task one run, so that a failure is final at once."""
    async with (
        world.another_gateway(task_attempts=1) as url,
        httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client,
    ):
        yield client


async def run(
    world: World, client: httpx.AsyncClient, home: Household, task_type: str, payload: dict[str, Any]
) -> dict[str, Any]:
    """The row of a task of this type, once it is over; at stage `flipped` its tenant moves on the way."""
    body = {"type": task_type, "payload": payload, "project_id": home.project_id}
    answer = await client.post("/gateway/v1/tasks", json=body, headers=home.owner.headers)
    assert answer.status_code == 202, answer.text
    await world.flip()
    row = await world.ended(answer.json()["task_id"])
    backend = (await world.dispatch(row["id"]))["backend"]
    assert backend in {"off": ("redis",), "flipped": ("redis", "temporal")}.get(world.stage, ("temporal",))
    return row


async def new_memory(world: World, home: Household) -> str:
    body = {"project_id": home.project_id, "title": "t", "content": "c"}
    answer = await world.client(home.owner).post("/api/v1/memories/", json=body)
    await world.ended(answer.json()["task_id"])
    return str(answer.json()["id"])


async def memory_status(world: World, memory_id: str) -> str:
    return str(await world.database.fetchval("SELECT processing_status FROM memories WHERE id = $1", memory_id))


async def test_everything_that_a_handler_may_use(world: World, once: httpx.AsyncClient, home: Household) -> None:
    await world.database.execute(
        "INSERT INTO entity_types (id, project_id, name, schema) VALUES ($1, $2, 'Engine', '{}')",
        secrets.token_hex(8),
        home.project_id,
    )
    memory_id, node = await new_memory(world, home), secrets.token_hex(8)
    payload = {"memory_id": memory_id, "uuid": node, "text": "an annotation", "rebuild": True}
    row = await run(world, once, home, "annotate_memory", payload)
    assert (row["status"], row["error_message"]) == ("COMPLETED", None)
    assert (row["progress"], row["message"]) == (100, "Annotated")
    result = row["result"]
    assert result["text"] == "an annotation"
    assert "Engine" in result["entity_types"]
    assert (result["has_llm"], result["has_embedder"]) == (True, True)
    assert await memory_status(world, memory_id) == "COMPLETED"
    async with neo4j.AsyncGraphDatabase.driver(world.servers.graph_url) as driver:
        found, _, _ = await driver.execute_query(
            "MATCH (n:LegacyAnnotation {uuid: $uuid}) DELETE n RETURN 1", uuid=node
        )
        assert len(found) == 1
    child = await world.ended(result["rebuild"])
    assert (child["task_type"], child["group_id"], child["status"]) == (
        "rebuild_communities",
        home.project_id,
        "COMPLETED",
    )
    assert (await world.dispatch(child["id"]))["tenant_id"] == home.tenant_id


async def test_a_handler_that_says_itself_that_it_is_done(
    world: World, once: httpx.AsyncClient, home: Household
) -> None:
    row = await run(world, once, home, "count_words", {"text": "one two three"})
    assert (row["status"], row["progress"], row["result"]) == ("COMPLETED", 50, {"words": 3})
    assert row["worker_id"] is not None
    assert row["started_at"] <= row["completed_at"]


async def test_a_handler_that_raises(world: World, once: httpx.AsyncClient, home: Household) -> None:
    row = await run(world, once, home, "broken_import", {"name": "the archive"})
    assert (row["status"], row["error_message"], row["progress"]) == ("FAILED", "cannot import the archive", 30)


async def test_a_handler_that_fails_marks_its_memory(world: World, once: httpx.AsyncClient, home: Household) -> None:
    memory_id = await new_memory(world, home)
    row = await run(world, once, home, "annotate_memory", {"memory_id": memory_id, "uuid": "u"})
    assert (row["status"], row["error_message"]) == ("FAILED", "'text'")
    assert await memory_status(world, memory_id) == "FAILED"


async def test_a_time_limit_is_kept(world: World, once: httpx.AsyncClient, home: Household) -> None:
    """R8: legacy had none."""
    row = await run(world, once, home, "slow_export", {})
    assert row["status"] == "FAILED"
    assert "timed out after 1 second" in row["error_message"]
    assert 1 <= (row["completed_at"] - row["started_at"]).total_seconds() < 3
