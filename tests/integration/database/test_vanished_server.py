"""Connections that vanish without a word: nobody waits much longer than ten seconds, and new ones are used."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
import pytest_asyncio

from backends.memory.engine import MemoryEngine
from gateway.app import create_app
from gateway.bootstrap import build_gateway
from gateway.errors import DatabaseUnavailable
from gateway.settings import Settings
from gateway.storage.database import CONFIRM_SECONDS, STATEMENT_SECONDS, Database
from gateway.storage.driver_errors import is_outage
from gateway.storage.schema.seed import seed
from workers.testing.proxy import FaultyProxy
from workers.testing.waiting import eventually

#: The limit of a statement in these tests (seconds), and the longest wait that it allows with what follows it.
LIMIT, LONGEST = 1.0, 5.0
#: The longest wait for a server that has vanished, with the limits of a gateway (seconds), and some for the machine.
VANISHED = STATEMENT_SECONDS + CONFIRM_SECONDS + 2.0


@pytest_asyncio.fixture
async def database(proxied_url: str) -> AsyncIterator[Database]:
    database = Database(proxied_url, size=4, statement_timeout=LIMIT)
    yield database
    await database.close()


async def _fill(database: Database) -> None:
    """Have all connections of the pool open, and idle."""
    await asyncio.gather(*(database.fetchval("SELECT pg_sleep(0.05)") for _ in range(4)))


async def _statement(database: Database) -> None:
    await database.fetchval("SELECT 1")


async def _transaction(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("SELECT 1")


@pytest.mark.parametrize("ask", [_statement, _transaction])
async def test_the_first_wait_is_the_last(
    ask: Callable[[Database], Awaitable[None]], database: Database, proxy: FaultyProxy
) -> None:
    await _fill(database)
    proxy.vanish()
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable) as raised:
        await ask(database)
    assert is_outage(raised.value), "nothing confirmed that it gave the statement up"
    assert time.monotonic() - began < LONGEST
    for _ in range(6):  # one that waited for a dead connection would fail, too
        await ask(database)


async def test_who_is_cancelled_does_not_wait_for_a_dead_server(database: Database, proxy: FaultyProxy) -> None:
    await _fill(database)
    began = time.monotonic()

    async def wait() -> None:
        async with asyncio.timeout(0.2), database.transaction() as connection:
            proxy.vanish()
            await connection.execute("SELECT 1")

    with pytest.raises(TimeoutError):
        await wait()
    assert time.monotonic() - began < LONGEST
    await _transaction(database)


async def test_a_slow_statement_is_cancelled_and_costs_no_connection(database: Database) -> None:
    pids = {await database.fetchval("SELECT pg_backend_pid()") for _ in range(3)}
    with pytest.raises(DatabaseUnavailable) as raised:
        await database.fetchval("SELECT pg_sleep(600)")
    assert not is_outage(raised.value)
    assert await database.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%'") == 1
    assert await database.fetchval("SELECT pg_backend_pid()") in pids


async def test_what_was_read_is_not_lost_when_the_connection_cannot_be_given_back(
    database: Database, proxy: FaultyProxy
) -> None:
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT 7") == 7
        await proxy.refuse()


async def test_the_clients_end_asks_for_signs_of_life(database: Database) -> None:
    connection = await database.connect()
    try:
        end = connection._transport.get_extra_info("socket")
        assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 11000
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
    finally:
        connection.terminate()


async def test_six_submits_when_all_connections_of_a_gateway_vanish(
    database_url: str, proxied_url: str, proxy: FaultyProxy
) -> None:
    """Those that were under way wait no longer than for one dead connection; the next is accepted, and begins, at once.

    The gateway keeps its lease.
    """
    keys = await seed(database_url)
    engine = MemoryEngine(name="redis")
    gateway = build_gateway(Settings(database_url=proxied_url, grpc_enabled=False), engines={"redis": engine})
    await gateway.start()
    headers = {"Authorization": f"Bearer {keys['TASKGATE_KEY_INITECH']}"}
    body = {"type": "add_episode", "payload": {"content": "x"}}
    admin = Database(database_url, size=1)
    name = await eventually(
        lambda: admin.fetchval("SELECT process_id FROM taskgate.process"), lambda found: found is not None
    )

    async def submit(client: httpx.AsyncClient) -> tuple[httpx.Response, float]:
        began = time.monotonic()
        return await client.post("/gateway/v1/tasks", json=body), time.monotonic() - began

    transport = httpx.ASGITransport(create_app(gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://g", headers=headers, timeout=60) as client:
        assert (await submit(client))[0].status_code == httpx.codes.ACCEPTED
        proxy.vanish()
        answers = await asyncio.gather(*(submit(client) for _ in range(6)))
        assert max(seconds for _, seconds in answers) < VANISHED
        answer, seconds = await submit(client)
        assert (answer.status_code, seconds < 1) == (httpx.codes.ACCEPTED, True)
        state = "SELECT state FROM taskgate.dispatch WHERE task_id = $1"
        await eventually(
            lambda: admin.fetchval(state, answer.json()["task_id"]), lambda found: found == "queued", within=2
        )
    held = "SELECT count(*) FROM taskgate.process WHERE lost_at IS NULL AND process_id = $1 AND renewed_at > $2"
    now = await admin.fetchval("SELECT now()")
    await eventually(lambda: admin.fetchval(held, name, now))
    await admin.close()
    await gateway.close()
