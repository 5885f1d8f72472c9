"""One connection for all who listen; it is replaced when it is lost, and everybody is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from gateway.bootstrap import build_gateway
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from workers.testing.proxy import FaultyProxy
from workers.testing.waiting import News, until

PATIENCE = 20.0
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"


class Subscriber:
    """Notes what it hears, and how often it may have missed something."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.missed = 0
        self._news = News()
        self.until = self._news.until

    def hear(self, payload: str) -> None:
        self.heard.append(payload)
        self._news.tell()

    def miss(self) -> None:
        self.missed += 1
        self._news.tell()


@pytest_asyncio.fixture
async def admin(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    admin = await asyncpg.connect(database_url)
    yield admin
    await admin.close()


@pytest_asyncio.fixture
async def listener(proxied_url: str) -> AsyncIterator[Listener]:
    database = Database(proxied_url, size=1)
    listener = Listener(database, probe_seconds=0.2, answer_seconds=0.5)
    yield listener
    await listener.close()
    await database.close()


async def announce(admin: asyncpg.Connection, channel: str, payload: str) -> None:
    await admin.execute("SELECT pg_notify($1, $2)", channel, payload)


async def test_many_listen_on_one_connection(listener: Listener, admin: asyncpg.Connection) -> None:
    first, second, other = Subscriber(), Subscriber(), Subscriber()
    listener.subscribe("a", first.hear)
    listener.subscribe("a", second.hear)
    listener.subscribe("b", other.hear)
    listener.start()
    await asyncio.wait_for(listener.wait_listening(), PATIENCE)
    await announce(admin, "a", "1")
    await announce(admin, "b", "2")
    for subscriber, payload in ((first, "1"), (second, "1"), (other, "2")):
        await subscriber.until(lambda subscriber=subscriber: bool(subscriber.heard))
        assert subscriber.heard == [payload]
    connections = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'taskgate' AND datname = current_database()"
    )
    assert await admin.fetchval(connections) == 1


@pytest.mark.parametrize("fault", ["vanished", "cut"])
async def test_a_lost_connection_is_replaced_and_everybody_is_told(
    fault: str, listener: Listener, admin: asyncpg.Connection, proxy: FaultyProxy
) -> None:
    subscribers = [Subscriber(), Subscriber()]
    for subscriber in subscribers:
        listener.subscribe("a", subscriber.hear, missed=subscriber.miss)
    listener.start()
    for subscriber in subscribers:
        await subscriber.until(lambda subscriber=subscriber: subscriber.missed == 1)
    if fault == "vanished":
        proxy.vanish()
    else:
        await proxy.refuse()
        await proxy.open()
    for subscriber in subscribers:
        await subscriber.until(lambda subscriber=subscriber: subscriber.missed == 2)
    await announce(admin, "a", "again")
    for subscriber in subscribers:
        await subscriber.until(lambda subscriber=subscriber: subscriber.heard == ["again"])


async def test_a_server_that_takes_no_writes_is_not_listened_to(listener: Listener, admin: asyncpg.Connection) -> None:
    """It has nothing to announce."""
    subscriber = Subscriber()
    listener.subscribe("a", subscriber.hear, missed=subscriber.miss)
    name = await admin.fetchval("SELECT current_database()")
    listener.start()
    await subscriber.until(lambda: subscriber.missed == 1)
    await admin.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'taskgate'"
        " AND datname = current_database()"
    )
    await until(lambda: not listener.is_listening)
    await admin.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    await subscriber.until(lambda: subscriber.missed == 2)


async def test_what_goes_wrong_in_one_subscriber_is_no_matter_of_the_others(
    listener: Listener, admin: asyncpg.Connection
) -> None:
    def fail(payload: str = "") -> None:
        raise ValueError(payload)

    subscriber = Subscriber()
    listener.subscribe("a", fail, missed=fail)
    listener.subscribe("a", subscriber.hear, missed=subscriber.miss)
    listener.start()
    await subscriber.until(lambda: subscriber.missed == 1)
    await announce(admin, "a", "1")
    await subscriber.until(lambda: subscriber.heard == ["1"])


async def test_a_gateway_has_one_listening_connection(database_url: str, admin: asyncpg.Connection) -> None:
    gateway = build_gateway(Settings(database_url=database_url, grpc_enabled=False), engines={})
    await gateway.start()
    try:
        await asyncio.wait_for(gateway.listener.wait_listening(), PATIENCE)
        assert await admin.fetchval(SESSIONS) == 1
    finally:
        await gateway.close()
