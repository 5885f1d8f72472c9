"""Leases: one name, one process; a lease that was lost is replaced under a new name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
import pytest_asyncio

from gateway.recovery.lease import LOCK_CLASS, QUICK_ATTEMPTS, Lease, ProcessIdentity
from gateway.recovery.reaper import RETURN_SECONDS
from gateway.storage.database import Database
from workers.testing.waiting import eventually

StartLease = Callable[..., "asyncio.Future[Lease]"]


@pytest_asyncio.fixture
async def leases(database_url: str) -> AsyncIterator[list[Lease]]:
    """Closed at the end."""
    started: list[Lease] = []
    yield started
    for lease in started:
        await lease.close()


def identity() -> ProcessIdentity:
    return ProcessIdentity("worker", "0", backend="redis", slots=1)


async def alive(database: Database) -> set[str]:
    rows = await database.fetch("SELECT process_id FROM taskgate.process WHERE lost_at IS NULL")
    return {row["process_id"] for row in rows}


async def test_the_second_of_two_workers_with_one_name_takes_another(
    database: Database, database_url: str, leases: list[Lease]
) -> None:
    one = identity()
    lost = asyncio.Event()
    first = Lease(database_url, one, limit=15)
    second = Lease(database_url, replace(one, lock_key=one.lock_key ^ 1), limit=15, on_lost=lost.set)
    leases += [first, second]
    await first.start()
    starting = asyncio.create_task(second.start())
    await lost.wait()
    second.cleared()
    await starting
    assert first.process_id == one.process_id
    assert second.process_id != one.process_id
    assert await alive(database) == {first.process_id, second.process_id}


async def test_a_lock_that_is_taken_is_left_alone(database: Database, database_url: str, leases: list[Lease]) -> None:
    """By another process that drew the same number; or by a session of ours that was granted it and never heard so,
    which a proxy may keep for good."""
    one = identity()
    async with database.acquire() as other:
        await other.execute("SELECT pg_advisory_lock($1::int, $2::int)", LOCK_CLASS, one.lock_key)
        lease = Lease(database_url, one, limit=15)
        leases.append(lease)
        async with asyncio.timeout(5):
            await lease.start()
        assert await alive(database) == {lease.process_id} != {one.process_id}
        assert await other.fetchval("SELECT pg_advisory_unlock($1::int, $2::int)", LOCK_CLASS, one.lock_key)


async def test_while_postgresql_is_away_it_is_tried_ever_less_often(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And at once again after the lease was held."""
    pauses: list[float] = []
    address, held_after = "postgresql://127.0.0.1:1/nobody", QUICK_ATTEMPTS + 6

    def url() -> str:
        return database_url if len(pauses) == held_after else address

    async def pause(lease: Lease, seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > held_after + 3:
            assert lease._ending is not None
            lease._ending.set()

    monkeypatch.setattr(Lease, "_pause", pause)
    lease = Lease(url, identity(), limit=15)
    keeping = asyncio.create_task(lease._keep())
    await lease.held()
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'taskgate lease' AND datname = current_database()"
    )
    async with asyncio.timeout(20):
        await keeping
    growing = [0.05] * QUICK_ATTEMPTS + [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    for seconds, about in zip(pauses, [*growing, *growing[:4]], strict=True):
        assert about * 0.75 <= seconds <= about * 1.25
    assert len(set(pauses)) > 10, "a fleet spreads out"
    assert max(pauses) < RETURN_SECONDS / 2


async def test_what_was_declared_lost_comes_back_under_a_new_name_once_nothing_runs(
    database: Database, database_url: str, leases: list[Lease]
) -> None:
    lost = asyncio.Event()
    lease = Lease(database_url, identity(), limit=15, on_lost=lost.set)
    leases.append(lease)
    await lease.start()
    before = lease.process_id
    await database.execute("UPDATE taskgate.process SET lost_at = now()")
    await lost.wait()
    assert lease.process_id != before
    assert await alive(database) == set(), "its handlers may still run"
    lease.cleared()
    await eventually(lambda: alive(database), lambda found: found == {lease.process_id})


async def test_a_mark_is_heeded_once_with_the_next_renewal(
    database: Database, database_url: str, leases: list[Lease]
) -> None:
    told: list[None] = []
    lease = Lease(database_url, identity(), limit=0.5, on_drain=lambda: told.append(None))
    leases.append(lease)
    await lease.start()
    await database.execute("UPDATE taskgate.process SET drain_at = now()")
    twice = "SELECT renewed_at > drain_at + interval '0.3 s' FROM taskgate.process"
    await eventually(lambda: database.fetchval(twice), bool)
    assert told == [None]


async def test_a_mark_is_heeded_when_the_connection_is_back(
    database: Database, database_url: str, leases: list[Lease]
) -> None:
    """It was set while there was none."""
    me = identity()
    marked = asyncio.Event()
    await database.execute(
        "INSERT INTO taskgate.process (process_id, kind, backend, host, pid, version, lock_key, drain_at)"
        " VALUES ($1, 'worker', 'redis', 'here', 1, '0', $2, now())",
        me.process_id,
        me.lock_key,
    )
    lease = Lease(database_url, me, limit=15, on_drain=marked.set)
    leases.append(lease)
    await lease.start()
    async with asyncio.timeout(2):
        await marked.wait()


async def test_a_lease_that_is_given_back_is_over(database: Database, database_url: str) -> None:
    lease = Lease(database_url, identity(), limit=15)
    await lease.start()
    await lease.close()
    assert await database.fetchval("SELECT renewed_at = '-infinity' FROM taskgate.process")


async def test_a_lease_is_renewed_for_as_long_as_it_is_held(
    database: Database, database_url: str, leases: list[Lease]
) -> None:
    lease = Lease(database_url, identity(), limit=2.5)
    leases.append(lease)
    await lease.start()
    renewals: set[object] = set()
    async with asyncio.timeout(30):
        while len(renewals) < 4:
            renewals.add(await database.fetchval("SELECT renewed_at FROM taskgate.process WHERE lost_at IS NULL"))
    assert await alive(database) == {lease.process_id}
