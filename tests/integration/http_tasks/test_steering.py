"""Retry, stop and cancel (contract §2; quirks T1, T2)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


@pytest.mark.parametrize("verb", ["stop", "cancel"])
@pytest.mark.parametrize("columns", [{}, {"worker_id": "w"}, {"status": "PENDING"}])
async def test_stop(world: Any, client: httpx.AsyncClient, verb: str, columns: dict[str, Any]) -> None:
    task_id = await world.add(**columns)
    answer = await client.post(f"/{task_id}/{verb}")
    assert (answer.status_code, answer.json()) == (200, {"message": "Task marked as stopped"})
    row = await world.row(task_id)
    assert (row["status"], row["error_message"]) == ("FAILED", "Task stopped by user")
    assert row["completed_at"] == row["stopped_at"] is not None
    answer = await client.post(f"/{task_id}/{verb}")
    assert answer.status_code == 400
    assert answer.json() == {"detail": "Task can only be stopped if pending or processing"}


@pytest.mark.parametrize("status", ["FAILED", "STOPPED"])
async def test_retry(world: Any, client: httpx.AsyncClient, status: str) -> None:
    task_id = await world.add(status=status, state="failed", progress=30, error_message="boom", retry_count=1)
    answer = await client.post(f"/{task_id}/retry")
    assert (answer.status_code, answer.json()) == (200, {"message": "Task retried successfully"})
    task = (await client.get(f"/{task_id}")).json()
    assert (task["status"], task["progress"], task["error"], task["retries"]) == ("Pending", 0, None, 2)
    assert task["started_at"] is task["completed_at"] is None
    answer = await client.post(f"/{task_id}/retry")
    assert (answer.status_code, answer.json()) == (400, {"detail": "Task can only be retried if failed"})


async def test_a_completed_task_is_neither_stopped_nor_retried(world: Any, client: httpx.AsyncClient) -> None:
    task_id = await world.add(status="COMPLETED", state="completed")
    before = await world.row(task_id)
    assert (await client.post(f"/{task_id}/retry")).status_code == 400
    assert (await client.post(f"/{task_id}/stop")).status_code == 400
    assert await world.row(task_id) == before


async def test_an_administrator_steers_everything(world: Any, server: Any) -> None:
    async with server.client("root") as root:
        assert (await root.post(f"/{await world.add(tenant='globex')}/stop")).status_code == 200


@pytest.mark.parametrize(
    "payload",
    ['{"tenant_id": "acme", "content": "\\u0000 \\ud800"}', '{"tenant_id": "acme", "project_id": {"a": 1}}'],
)
@pytest.mark.parametrize("columns", [{}, {"group_id": None, "task_type": None}])
async def test_rows_from_before_the_gateway(
    world: Any, client: httpx.AsyncClient, payload: str, columns: dict[str, Any]
) -> None:
    """Whatever they hold, they are stopped and retried, and stay with their tenant."""
    waiting = await world.add(state=None, status="PENDING", payload=payload, **columns)
    failed = await world.add(state=None, status="FAILED", payload=payload, **columns)
    assert (await client.post(f"/{waiting}/stop")).status_code == 200
    assert (await client.post(f"/{failed}/retry")).status_code == 200
    statuses = {task["id"]: task["status"] for task in (await client.get("/recent")).json()}
    assert statuses == {waiting: "Failed", failed: "Pending"}
