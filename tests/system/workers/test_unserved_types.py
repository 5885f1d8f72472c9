"""Readiness says which tasks wait for workers that are gone."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from gateway.access.keys import create_key
from gateway.app import create_app
from gateway.tasks.queries.task_row import Status
from tests.integration.conftest import key_of
from workers.testing.waiting import eventually

pytestmark = pytest.mark.parametrize("backend", ["temporal"], indirect=True, scope="module")

LINE = "no live worker serves `sleep` on temporal: 3 tasks"


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_tasks_whose_workers_are_gone_are_named(fleet: Any) -> None:
    database = fleet.gateway.database
    operator = headers(await key_of(database, "root", admin=True))
    other = headers(await key_of(database, "ann"))
    await asyncio.gather(*(worker.end() for worker in fleet.workers))
    task_ids = [await fleet.submit("sleep", seconds=0.1) for _ in range(3)]
    transport = httpx.ASGITransport(create_app(fleet.gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:

        async def problems(by: dict[str, str]) -> list[str]:
            answer = (await http.get("/gateway/v1/ready", headers=by)).json()
            assert answer["status"] == ("degraded" if answer["problems"] else "ready")
            found: list[str] = answer["problems"]
            return found

        assert await eventually(lambda: problems(operator), lambda found: LINE in found) == [LINE]
        told = ["tasks whose type no live worker serves: 3 (an administrator's key says which)"]
        assert await problems(other) == await problems({}) == told
        assert await problems(headers(create_key())) == told
        await fleet.workers[0].start()
        for task_id in task_ids:
            assert (await fleet.ended(task_id)).status == Status.COMPLETED
        assert await problems(operator) == []
