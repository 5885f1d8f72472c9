"""Lost workers: found by lock and by silence, never by a clock that jumps; their tasks go on, but not for ever."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from gateway.errors import DatabaseUnavailable
from gateway.recovery.lease import LOCK_CLASS, host_identity
from gateway.recovery.reaper import Reaper
from gateway.storage.database import Database
from gateway.tasks.lifecycle.transitions import Transitions

LIMIT = 0.6
NewRow = Callable[..., Awaitable[str]]


@pytest.fixture
def reaper(database: Database, changes: Any) -> Reaper:
    return Reaper(database, changes, limit=LIMIT, grace=0.1, losses=3, wake=lambda: None, on_duty=lambda: None)


@pytest_asyncio.fixture
async def session(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """The session of a worker, which holds its lock."""
    connection = await database.connect()
    await connection.execute("SELECT pg_advisory_lock($1::int, 7)", LOCK_CLASS)
    yield connection
    connection.terminate()


async def renew(database: Database, **interval: str) -> None:
    shift = interval.get("ahead", "0 s")
    await database.execute("UPDATE taskgate.process SET renewed_at = now() + $1::text::interval", shift)


async def lost(database: Database) -> bool:
    return bool(await database.fetchval("SELECT lost_at IS NOT NULL FROM taskgate.process"))


async def ticks(reaper: Reaper, seconds: float) -> None:
    """Look as often as a leader does."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        await reaper.tick()
        await asyncio.sleep(0.02)


async def until_lost(database: Database, reaper: Reaper, within: float = 20) -> None:
    async with asyncio.timeout(within):
        while not await lost(database):
            await reaper.tick()
            await asyncio.sleep(0.02)


async def test_a_process_of_this_host_that_is_gone_is_lost_at_once(database, reaper, new_lease):
    await new_lease(host=host_identity(), pid=2**22 + 1)
    await reaper.tick()
    assert await lost(database)


async def test_a_process_that_signed_off_is_over_at_once(database, reaper, new_lease, session):
    await new_lease()
    await database.execute("UPDATE taskgate.process SET renewed_at = '-infinity'")  # what `retire` writes
    await reaper.tick()
    assert await lost(database)


async def test_a_process_of_this_host_that_lives_may_be_without_its_lock(database, reaper, new_lease):
    await new_lease(host=host_identity(), pid=os.getpid())
    for _ in range(30):
        await renew(database)
        await ticks(reaper, 0.03)
    assert not await lost(database)


async def test_a_lock_that_stays_away_on_another_host_is_a_lost_worker(database, reaper, new_lease, monkeypatch):
    monkeypatch.setattr("gateway.recovery.reaper.RETURN_SECONDS", 0.2)
    await new_lease()

    async def keep_renewing() -> None:
        while True:
            await renew(database)
            await asyncio.sleep(0.05)

    renewing = asyncio.create_task(keep_renewing())
    await until_lost(database, reaper)
    renewing.cancel()


async def test_a_gateway_that_has_just_come_waits_for_others_to_come_back(database, reaper, new_lease):
    """PostgreSQL crashed: the locks are gone, its start is the same."""
    await new_lease()
    for _ in range(20):
        await renew(database)
        await ticks(reaper, 0.03)
    assert not await lost(database)


async def test_a_lock_that_a_restart_took_is_not_missed(database, reaper, new_worker):
    await new_worker()
    for _ in range(20):
        await renew(database)
        await ticks(reaper, 0.03)
    assert not await lost(database)


async def test_silence_past_the_limit_is_a_lost_worker(database, reaper, new_lease, session):
    began = asyncio.get_running_loop().time()
    await new_lease()
    await until_lost(database, reaper)
    assert asyncio.get_running_loop().time() - began > LIMIT


@pytest.mark.parametrize("jump", ["1 hour", "-1 hour"])
async def test_a_clock_that_jumps_loses_nobody_and_hides_nobody(database, reaper, new_lease, session, jump):
    """Seen from the rows, a jump of the server's clock is one of every renewal the other way."""
    await new_lease()
    for _ in range(30):  # it goes on renewing, but by a clock that is off
        await renew(database, ahead=jump)
        await ticks(reaper, 0.03)
    assert not await lost(database)
    await until_lost(database, reaper)  # and now it does not


async def test_after_a_pause_of_the_reaper_itself_counting_begins_anew(database, reaper, new_lease, session):
    await new_lease()
    await ticks(reaper, LIMIT * 0.8)
    reaper._looked -= 5  # it was away
    await ticks(reaper, LIMIT * 0.8)
    assert not await lost(database)


async def test_a_task_that_ends_worker_after_worker_is_a_dead_letter(
    database: Database, transitions: Transitions, reaper: Reaper, new_task: NewRow, new_lease: NewRow, log_row: Any
) -> None:
    task = await new_task()
    for number in range(3):
        worker = await new_lease(f"w{number}", host=host_identity(), pid=2**22 + 1)
        assert await transitions.claim(task, "redis", 1, worker, with_payload=False) is not None
        await reaper.tick()
        # There is no engine here that would have kept it.
        await database.execute("UPDATE taskgate.dispatch SET state = 'queued' WHERE state = 'waiting'")
    row = await log_row(task)
    assert (row["status"], row["error_message"]) == ("FAILED", "3 workers in a row were lost while they ran this task")
    outcomes = await database.fetch("SELECT outcome FROM taskgate.attempt ORDER BY attempt")
    assert [r["outcome"] for r in outcomes] == ["lost", "lost", "failed"]
    state = await database.fetchrow("SELECT state, cancel_epoch, cancel_backend FROM taskgate.dispatch")
    assert tuple(state) == ("failed", 1, "redis")


#: Notes which transaction takes a task back.
NOTE = """
CREATE TABLE taken_back (transaction_id xid8);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO taken_back VALUES (pg_current_xact_id()); RETURN NEW; END $$;
CREATE TRIGGER note BEFORE UPDATE ON taskgate.dispatch
    FOR EACH ROW WHEN (OLD.state = 'running' AND NEW.state = 'queued') EXECUTE FUNCTION note()
"""
#: Refuses the first; a sequence remembers it beyond the transaction that is rolled back.
REFUSE_ONCE = """
CREATE SEQUENCE refusals;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('refusals') = 1 THEN RAISE EXCEPTION USING ERRCODE = '40P01'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON taskgate.dispatch
    FOR EACH ROW WHEN (OLD.state = 'running' AND NEW.state = 'queued') EXECUTE FUNCTION refuse()
"""


async def running(database: Database) -> int:
    return int(await database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE state = 'running'"))


@pytest_asyncio.fixture
async def held(transitions: Transitions, new_task: NewRow, new_lease: NewRow) -> int:
    """So many tasks run on a worker that is gone."""
    worker = await new_lease(host=host_identity(), pid=2**22 + 1)
    for _ in range(7):
        assert await transitions.claim(await new_task(), "redis", 1, worker, with_payload=False) is not None
    return 7


async def test_many_tasks_are_taken_back_a_few_at_a_time(
    held: int, database: Database, reaper: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.recovery.reaper.BATCH", 3, raising=False)
    await database.execute(NOTE)
    await reaper.tick()
    assert await running(database) == 0
    sizes = await database.fetch("SELECT count(*) FROM taken_back GROUP BY transaction_id ORDER BY transaction_id")
    assert [row["count"] for row in sizes] == [3, 3, 1]


async def test_what_is_left_when_the_time_for_it_is_over_is_taken_back_at_the_next_tick(
    held: int, database: Database, reaper: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.recovery.reaper.BATCH", 3)
    monkeypatch.setattr("gateway.recovery.reaper.BACK_SECONDS", 0)
    left = []
    for _ in range(3):
        await reaper.tick()
        left.append(await running(database))
    assert left == [held - 3, held - 6, 0]


async def test_a_worker_stays_lost_while_its_tasks_cannot_be_taken_back(
    held: int, database: Database, reaper: Reaper
) -> None:
    await database.execute(REFUSE_ONCE)
    with pytest.raises(DatabaseUnavailable):
        await reaper.tick()
    assert await lost(database)
    await reaper.tick()
    assert await running(database) == 0


async def test_what_a_worker_still_ran_when_it_signed_off_is_handed_back(
    database: Database, transitions: Transitions, reaper: Reaper, new_task: NewRow, new_lease: NewRow, log_row: Any
) -> None:
    """A handler that outlasts the grace of many a rolling restart does no harm to workers."""
    task = await new_task()
    for number in range(4):
        worker = await new_lease(f"w{number}")
        assert await transitions.claim(task, "redis", 1, worker, with_payload=False)
        await database.execute(
            "UPDATE taskgate.process SET renewed_at = '-infinity' WHERE process_id = $1",  # what `retire` writes
            worker,
        )
        await reaper.tick()
        assert await database.fetchval("SELECT state FROM taskgate.dispatch") == "queued"
    rows = await database.fetch("SELECT outcome, error, worker_lost FROM taskgate.attempt")
    assert [tuple(row) for row in rows] == [("lost", "handed back by its worker", False)] * 4
    assert (await log_row(task))["retry_count"] == 0
    assert await database.fetchval("SELECT count(*) FROM taskgate.engine_duty WHERE kind = 'requeue'") > 0


async def test_losses_count_only_in_a_row(
    database: Database, transitions: Transitions, reaper: Reaper, new_task: NewRow, new_lease: NewRow, log_row: Any
) -> None:
    task = await new_task()
    for number in range(5):
        worker = await new_lease(f"w{number}", host=host_identity(), pid=2**22 + 1)
        claim = await transitions.claim(task, "redis", 1, worker, with_payload=False)
        assert claim is not None
        if number == 2:
            await transitions.hand_back(task, claim.attempt)
        await reaper.tick()
        await database.execute("UPDATE taskgate.dispatch SET state = 'queued' WHERE state = 'waiting'")
    assert (await log_row(task))["status"] == "PROCESSING"
