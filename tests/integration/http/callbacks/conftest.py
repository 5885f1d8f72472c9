"""A receiver of callbacks behind a real port, a gateway that may send to it, and tasks that end by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import orjson
import pytest

from contracts.receiver import Receiver, receiving
from gateway.app import create_app
from gateway.bootstrap import Gateway, build_gateway
from gateway.settings import Settings
from gateway.storage.database import Database


@pytest.fixture
def open_receiver() -> Callable[..., Any]:
    return receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def run_gateway(database: Database, key: str) -> AsyncIterator[Callable[..., Awaitable[Gateway]]]:
    """Gateways that send callbacks, with no engine; retries are quick. They end with the test."""
    gateways: list[Gateway] = []
    loops: list[asyncio.Task[None]] = []

    async def run(**settings: Any) -> Gateway:
        quick: dict[str, Any] = {"callback_seconds": 0.05, "callback_retry_seconds": 0.01}
        quick |= {
            "callback_longest_retry_seconds": 0.05,
            "callback_timeout_seconds": 60,
            "callback_allow_private": True,
            "callback_ports": ["1-65535"],
        }
        gateway = build_gateway(Settings(database_url=database.url, **{**quick, **settings}), engines={})
        loops.append(asyncio.create_task(gateway.deliverer.run()))
        gateways.append(gateway)
        return gateway

    yield run
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    for gateway in gateways:
        await gateway.close()


@pytest.fixture
async def gateway(run_gateway: Callable[..., Awaitable[Gateway]]) -> Gateway:
    return await run_gateway()


@pytest.fixture
async def client(gateway: Gateway, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """Ann's."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(gateway)), base_url="http://gateway"
    ) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


@pytest.fixture
async def secret(client: httpx.AsyncClient) -> str:
    """Of ann's tenant."""
    answer = await client.post("/gateway/v1/tenants/t-ann/webhook-secret")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["secret"])


@pytest.fixture
async def end_task(database: Database, gateway: Gateway) -> Callable[..., Awaitable[str]]:
    """A task of ann's with a callback, ended; keywords are columns of its dispatch row. `how`: the state it ends in."""
    await database.execute(
        "INSERT INTO taskgate.process (process_id, kind, host, pid, version, lock_key)"
        " VALUES ('w1', 'worker', 'elsewhere', 1, '0', 7)"
    )
    numbers = iter(range(1, 10_000))

    async def end(callback: Any, how: str = "completed", *, result: Any = None, **columns: Any) -> str:
        task_id = columns.pop("task_id", f"task-{next(numbers)}")
        values = {"tenant_id": "t-ann", "state": "queued", "backend": "redis", "epoch": 1, **columns}
        await database.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, payload, progress, retry_count)"
            " VALUES ($1, 'g', 'probe', 'PROCESSING', '{\"content\": \"private\"}', 0, 0)",
            task_id,
        )
        names = ", ".join(values)
        places = ", ".join(f"${i}" for i in range(3, len(values) + 3))
        await database.execute(
            f"INSERT INTO taskgate.dispatch (task_id, group_id, task_type, callback, {names})"
            f" VALUES ($1, 'g', 'probe', $2::jsonb, {places})",
            task_id,
            orjson.dumps(callback).decode(),
            *values.values(),
        )
        transitions = gateway.transitions
        if how == "stopped":
            await transitions.stop(task_id)
            return task_id
        claim = await transitions.claim(task_id, "redis", 1, "w1", with_payload=False)
        assert claim is not None
        if result is not None:
            await transitions.progress(task_id, claim.attempt, result=result)
        if how == "completed":
            assert await transitions.complete(task_id, claim.attempt)
        else:
            await transitions.fail(task_id, claim.attempt, "boom", final=how == "failed", engine_retries=True)
        return task_id

    return end
