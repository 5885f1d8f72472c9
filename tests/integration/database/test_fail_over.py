"""The endpoint leads to a hot standby for a while: nobody stays with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio

from deploy.local.ports import free_port
from deploy.local.postgres import PostgresPart
from deploy.local.pytest_stack import StackFactory
from deploy.local.standby import StandbyPart
from gateway.app import create_app
from gateway.bootstrap import build_gateway
from gateway.engines import build_redis
from gateway.errors import DatabaseReadOnly
from gateway.recovery.mark import Mark
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.schema.migrate import create_legacy_tables, migrate
from gateway.storage.schema.seed import seed
from tests.integration.database.conftest import through
from workers.testing.proxy import FaultyProxy
from workers.testing.waiting import eventually

Servers = tuple[PostgresPart, StandbyPart]


@pytest_asyncio.fixture(scope="module")
async def pair(module_stack_factory: StackFactory) -> AsyncIterator[Servers]:
    """A primary with the gateway's schema, and its standby."""
    stack = await module_stack_factory(("postgres",))
    primary = stack.part("postgres")
    assert isinstance(primary, PostgresPart)
    await create_legacy_tables(primary.url)
    await migrate(primary.url)
    standby = StandbyPart(primary, free_port())
    await standby.start()
    yield primary, standby
    await standby.stop()


@pytest_asyncio.fixture
async def endpoint(pair: Servers) -> AsyncIterator[FaultyProxy]:
    proxy = FaultyProxy("127.0.0.1", pair[0].port)
    await proxy.open()
    yield proxy
    await proxy.close()


async def lead(endpoint: FaultyProxy, to: PostgresPart) -> None:
    """A fail-over: connections are cut, new ones go there."""
    await endpoint.refuse()
    endpoint.lead_to("127.0.0.1", to.port)
    await endpoint.open()


async def _demote(database: Database) -> None:
    async with database.acquire() as connection:
        await connection.execute("SET default_transaction_read_only = on")
        await connection.execute("SELECT pg_sleep(0.1)")  # so that each has a session of its own


async def _statement(database: Database) -> None:
    await database.execute("DELETE FROM task_logs")


async def _transaction(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM task_logs")


async def test_a_gateway_goes_on_as_soon_as_the_endpoint_leads_to_the_primary(
    pair: Servers, endpoint: FaultyProxy
) -> None:
    primary, standby = pair
    keys = await seed(primary.url)
    settings = Settings(database_url=through(endpoint, primary.url), grpc_enabled=False)
    gateway = build_gateway(settings, engines={})
    body = {"type": "add_episode", "payload": {"content": "x"}}
    headers = {"Authorization": f"Bearer {keys['TASKGATE_KEY_INITECH']}"}
    transport = httpx.ASGITransport(create_app(gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:

        async def submit() -> int:
            return (await client.post("/gateway/v1/tasks", json=body)).status_code

        async def ready() -> str:
            part: Any = (await client.get("/gateway/v1/ready")).json()["database"]
            return str(part["status"])

        assert await submit() == httpx.codes.ACCEPTED
        await lead(endpoint, standby)
        for _ in range(3):
            assert await submit() == httpx.codes.SERVICE_UNAVAILABLE
            assert await ready() == "away"
        await lead(endpoint, primary)
        await eventually(submit, lambda found: found == httpx.codes.ACCEPTED, within=5)
        await eventually(ready, lambda found: found == "ok", within=5)
    await gateway.close()


async def test_a_standby_that_lags_is_not_taken_for_a_restored_database(pair: Servers, redis_server: str) -> None:
    primary, standby = (Database(f"{part.url}?target_session_attrs=any", size=1) for part in pair)
    redis = build_redis(Settings(redis_url=redis_server))
    assert redis is not None
    try:
        await Mark(primary, redis).tick()
        wal = await primary.fetchval("SELECT pg_current_wal_lsn()::text")
        await eventually(lambda: standby.fetchval("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", wal))
        await standby.execute("SELECT pg_wal_replay_pause()")
        await Mark(primary, redis).tick()
        assert not await Mark(standby, redis).is_behind()
        await standby.execute("SELECT pg_wal_replay_resume()")
    finally:
        await redis.close()
        await primary.close()
        await standby.close()


async def test_a_gateway_on_a_standby_is_not_ready(pair: Servers) -> None:
    settings = Settings(database_url=f"{pair[1].url}?target_session_attrs=any", grpc_enabled=False)
    gateway = build_gateway(settings, engines={})
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(gateway)), base_url="http://gateway"
    ) as client:
        answer = await client.get("/gateway/v1/ready")
    assert (answer.status_code, answer.json()["status"]) == (httpx.codes.SERVICE_UNAVAILABLE, "unavailable")
    assert answer.json()["database"] == {"status": "away", "detail": DatabaseReadOnly.__doc__}
    await gateway.close()


@pytest.mark.parametrize("write", [_statement, _transaction])
async def test_one_refused_write_is_the_last(write: Callable[[Database], Awaitable[None]], pair: Servers) -> None:
    """Every session of the pool is to a server that takes no writes any more."""
    database = Database(pair[0].url, size=3)
    try:
        await asyncio.gather(*(_demote(database) for _ in range(3)))
        with pytest.raises(DatabaseReadOnly):
            await write(database)
        for _ in range(6):
            await write(database)
    finally:
        await database.close()


async def test_of_several_hosts_the_one_that_takes_writes_is_chosen(pair: Servers) -> None:
    primary, standby = pair
    url = f"postgresql://postgres@127.0.0.1:{standby.port},127.0.0.1:{primary.port}/taskgate"
    await migrate(url)
    database = Database(url, size=1)
    try:
        assert await database.fetchval("SELECT pg_is_in_recovery()") is False
        connection = await database.connect()
        assert await connection.fetchval("SELECT pg_is_in_recovery()") is False
        connection.terminate()
    finally:
        await database.close()


async def test_a_url_that_asks_for_any_server_gets_one_and_is_told_that_it_takes_no_writes(pair: Servers) -> None:
    _, standby = pair
    database = Database(f"{standby.url}?target_session_attrs=any", size=1)
    try:
        assert await database.fetchval("SELECT pg_is_in_recovery()") is True
        with pytest.raises(DatabaseReadOnly):
            await database.execute("DELETE FROM task_logs")
    finally:
        await database.close()
