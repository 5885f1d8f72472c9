"""A claim is committed and nobody takes it up, or the connections to PostgreSQL vanish: the task runs, once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from temporalio import activity

from backends.port import WorkflowRef, WorkflowStart, WorkflowState
from backends.redis_queue.engine import RedisQueueEngine
from backends.temporal.engine import TemporalEngine
from contracts.world import Servers
from gateway.settings import Settings
from gateway.storage.database import Database
from workers.outcome import Assignment
from workers.process import Worker
from workers.temporal import activities
from workers.testing.proxy import FaultyProxy
from workers.testing.waiting import eventually, until

PATIENCE = 30.0
#: Temporal offers a task again when its worker was silent for so long; where that is tested the handler blocks for
#: longer, and elsewhere a busy machine is not to be taken for it.
HEARTBEAT, BLOCKED_SECONDS = 2.0, 4.0
UNHURRIED = 30.0
#: Holds up every claim of a short task while somebody has the advisory lock.
HOLD_UP = """
CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END';
CREATE TRIGGER hold_up AFTER UPDATE ON taskgate.dispatch FOR EACH ROW
    WHEN (NEW.state = 'running' AND NEW.task_type = 'sleep') EXECUTE FUNCTION hold_up();
"""
HELD_UP = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"


@asynccontextmanager
async def working(worker: Worker, database: Database) -> AsyncIterator[None]:
    """The worker takes tasks in this block, and drains at its end."""
    running = asyncio.create_task(worker.run())
    await eventually(
        lambda: database.fetchval("SELECT count(*) FROM taskgate.process WHERE kind = 'worker'"), within=PATIENCE
    )
    try:
        yield
    finally:
        worker.stopping.set()
        async with asyncio.timeout(PATIENCE):  # without PostgreSQL it would drain for ever
            await running


@pytest.fixture(params=["redis", "temporal"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def heartbeat() -> float:
    """See `HEARTBEAT`."""
    return UNHURRIED


@pytest_asyncio.fixture
async def engine(backend: str, own_servers: Servers, heartbeat: float) -> AsyncIterator[Any]:
    if backend == "redis":
        async with Redis.from_url(own_servers.redis_url) as client:
            await client.flushall()
        engine: Any = RedisQueueEngine(own_servers.redis_url, timeout=5)
    else:
        engine = TemporalEngine(
            own_servers.temporal_address,
            own_servers.temporal_namespace,
            timeout=5,
            heartbeat=timedelta(seconds=heartbeat),
        )
    yield engine
    await engine.close()


@pytest_asyncio.fixture
async def proxy(own_servers: Servers) -> AsyncIterator[FaultyProxy]:
    """Between the worker and PostgreSQL."""
    address = urlsplit(own_servers.database_url)
    proxy = FaultyProxy(address.hostname or "", address.port or 5432)
    await proxy.open()
    yield proxy
    await proxy.close()


@pytest_asyncio.fixture
async def temporal_wire(own_servers: Servers) -> AsyncIterator[FaultyProxy]:
    """Between the worker and Temporal."""
    host, _, port = own_servers.temporal_address.rpartition(":")
    wire = FaultyProxy(host, int(port))
    await wire.open()
    yield wire
    await wire.close()


@pytest.fixture
def worker(backend: str, own_servers: Servers, proxy: FaultyProxy, temporal_wire: FaultyProxy) -> Worker:
    address = urlsplit(own_servers.database_url)
    through = own_servers.database_url.replace(f"{address.hostname}:{address.port}", f"127.0.0.1:{proxy.port}")
    settings = Settings(
        database_url=through,
        redis_url=own_servers.redis_url,
        temporal_address=f"{temporal_wire.host}:{temporal_wire.port}",
        temporal_namespace=own_servers.temporal_namespace,
        handlers="workers.testing.misbehaving",
        worker_drain_seconds=0.2,
    )
    return Worker(settings, backend, 6)


@pytest.fixture
def start(database: Database, new_task: Any, backend: str, engine: Any) -> Any:
    """Starts a task of a type on its engine; its id."""

    async def start(task_type: str, **payload: Any) -> str:
        task = str(await new_task(backend=backend))
        await database.execute("UPDATE taskgate.dispatch SET task_type = $2 WHERE task_id = $1", task, task_type)
        ref = WorkflowRef(task, 1, f"g-{task}", task_type)
        queue = "default" if backend == "redis" else f"shared-{task_type}"
        await engine.start_workflow(WorkflowStart(ref, payload, timedelta(seconds=60), queue=queue))
        return task

    return start


async def ended(database: Database, *tasks: str) -> None:
    """Every one of these is over."""
    query = "SELECT count(*) FROM taskgate.dispatch WHERE task_id = ANY ($1) AND finished_at IS NULL"
    await eventually(lambda: database.fetchval(query, list(tasks)), lambda found: not found, within=PATIENCE)


async def outcomes(database: Database, task: str) -> list[str]:
    rows = await database.fetch("SELECT outcome FROM taskgate.attempt WHERE task_id = $1 ORDER BY attempt", task)
    return [row["outcome"] for row in rows]


async def test_a_claim_whose_answer_is_lost(
    database: Database, backend: str, worker: Worker, proxy: FaultyProxy, start: Any, tmp_path: Any
) -> None:
    transitions, asked = worker._dependencies.transitions, asyncio.Event()
    claim, lost = transitions.claim, asyncio.Event()
    # The worker asks for other things, too: without a connection of its own, the claim could need one just then.
    apart, alone = Database(worker._db.url, size=1), copy(transitions)
    alone._db = apart

    async def first(task_id: str, *args: Any, **more: Any) -> Any:
        """The request arrives and commits, and the connection is cut before its answer has come."""
        if asked.is_set():
            return await claim(task_id, *args, **more)
        await alone.claim("nobody", *args, **more)  # the statement is prepared, the connection there
        asked.set()
        proxy.swallow_answers()
        try:
            asking = asyncio.create_task(alone.claim(task_id, *args, **more))
            state = "SELECT state FROM taskgate.dispatch"
            await eventually(lambda: database.fetchval(state), lambda now: now == "running", within=PATIENCE)
            assert not asking.done()
            lost.set()
        finally:
            await proxy.restore()  # a worker that never hears of PostgreSQL again does not end
        return await asking

    transitions.claim = first  # type: ignore[method-assign]
    async with working(worker, database):
        task = await start("sleep", journal=str(tmp_path / "journal"))
        await ended(database, task)
    await apart.close()
    assert lost.is_set()
    assert await outcomes(database, task) == ["completed"]
    assert (tmp_path / "journal").read_text().count('"start"') == 1


async def test_a_row_that_nobody_here_runs(database: Database, backend: str, worker: Worker, start: Any) -> None:
    """Its claim came late: whoever had asked was gone."""
    async with working(worker, database):
        task = await start("wait_for_word", word="/never")
        await eventually(
            lambda: database.fetchval("SELECT state FROM taskgate.dispatch"),
            lambda found: found == "running",
            within=PATIENCE,
        )
        other = await database.fetchval(
            "INSERT INTO task_logs (id, group_id, task_type, status, progress, retry_count)"
            " VALUES ('orphan', 'g', 'sleep', 'PROCESSING', 0, 0) RETURNING id"
        )
        await database.execute(
            "INSERT INTO taskgate.dispatch (task_id, group_id, task_type, state, backend, epoch, attempt, worker_id)"
            " SELECT $1, 'g', 'sleep', 'running', $2, 1, 1, worker_id FROM taskgate.dispatch WHERE task_id = $3",
            *(other, backend, task),
        )
        await database.execute(
            "INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id)"
            " SELECT task_id, attempt, epoch, backend, worker_id FROM taskgate.dispatch WHERE task_id = $1",
            other,
        )
        await eventually(
            lambda: database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = 'orphan'"),
            lambda found: found != "running",
            within=5,
        )
        assert await database.fetchval("SELECT state FROM taskgate.dispatch WHERE task_id = $1", task) == "running"


async def test_one_check_that_fails_is_not_the_last(
    database: Database, worker: Worker, start: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL cancels its statement; then somebody takes the claim of a run away."""
    compare, failed = worker._runner.compare, asyncio.Event()

    async def fails_once() -> None:
        if not failed.is_set():
            failed.set()
            raise asyncpg.QueryCanceledError("canceling statement due to statement timeout")
        await compare()

    monkeypatch.setattr(worker._runner, "compare", fails_once)
    journal = tmp_path / "journal"
    async with working(worker, database):
        await failed.wait()
        task = await start("wait_for_word", word="/never", journal=str(journal))
        await eventually(
            lambda: database.fetchval("SELECT state FROM taskgate.dispatch"),
            lambda found: found == "running",
            within=PATIENCE,
        )
        await database.execute("UPDATE taskgate.dispatch SET state = 'stopped' WHERE task_id = $1", task)
        await until(lambda: journal.exists() and "cancelled" in journal.read_text(), within=5)


@pytest.mark.parametrize("backend", ["temporal"], indirect=True)
async def test_one_look_for_tenants_that_fails_is_not_the_last(
    database: Database, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str | None] = []

    async def fails_once(_database: Database, pool: str | None) -> list[str]:
        looks.append(pool)
        if len(looks) == 2:
            raise asyncpg.QueryCanceledError("canceling statement due to statement timeout")
        return []

    monkeypatch.setattr("workers.process.tenants_served", fails_once)
    async with working(worker, database):
        await until(lambda: len(looks) > 2, within=PATIENCE)


@pytest.mark.parametrize("heartbeat", [HEARTBEAT])
@pytest.mark.parametrize("backend", ["temporal"], indirect=True)
async def test_a_handler_that_blocks_the_loop_leaves_no_task_unbegun(
    database: Database, worker: Worker, start: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claims are under way when a handler blocks the event loop. The worker is silent for so long that Temporal gives
    all of its tasks out again, and cancels the offers that are asking; their claims are granted after that.
    """
    await database.execute(HOLD_UP)
    is_given_up, given_up = activities._is_given_up, set[str]()

    def noted() -> bool:
        if found := is_given_up():
            given_up.add(activity.info().activity_id)
        return found

    monkeypatch.setattr(activities, "_is_given_up", noted)
    journal = tmp_path / "journal"
    async with working(worker, database):
        async with database.acquire() as holder:
            await holder.execute("SELECT pg_advisory_lock(4711)")
            tasks = [await start("sleep", journal=str(journal)) for _ in range(4)]
            await eventually(lambda: database.fetchval(HELD_UP), lambda found: found >= len(tasks), within=PATIENCE)
            blocking = await start("block_the_loop", seconds=BLOCKED_SECONDS, journal=str(journal))
            await until(lambda: given_up >= {f"task-{task}" for task in tasks}, within=PATIENCE)
            await holder.execute("SELECT pg_advisory_unlock(4711)")
        began = time.monotonic()
        await ended(database, blocking, *tasks)
        # No pause of Temporal's own, which doubles with each attempt.
        assert time.monotonic() - began < 10
    for task in (blocking, *tasks):
        assert (await outcomes(database, task))[-1] == "completed"
    begun = [json.loads(line)["task"] for line in journal.read_text().splitlines() if '"start"' in line]
    assert sorted(begun) == sorted([blocking, *tasks])


@pytest.mark.parametrize("heartbeat", [HEARTBEAT])
async def test_a_handler_that_blocks_the_loop_and_then_waits_completes(
    database: Database, worker: Worker, start: Any, tmp_path: Any
) -> None:
    """Temporal gives it up for lost each time that it blocks for longer than a heartbeat may be late."""
    journal = tmp_path / "journal"
    async with working(worker, database):
        task = await start("block_the_loop", seconds=BLOCKED_SECONDS, more_seconds=2.0, journal=str(journal))
        await ended(database, task)
    assert await outcomes(database, task) == ["completed"]
    assert journal.read_text().count('"start"') == 1


@pytest.mark.parametrize("heartbeat", [HEARTBEAT])
@pytest.mark.parametrize("backend", ["temporal"], indirect=True)
async def test_a_run_goes_on_while_temporal_is_away(
    database: Database,
    worker: Worker,
    engine: TemporalEngine,
    temporal_wire: FaultyProxy,
    start: Any,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For longer than a heartbeat may be late. Temporal offers the task again, and learns its end at last."""
    run, offers = worker._runner.run, list[str]()

    async def noted(assignment: Assignment) -> Any:
        offers.append(assignment.task_id)
        return await run(assignment)

    monkeypatch.setattr(worker._runner, "run", noted)
    journal, word = tmp_path / "journal", tmp_path / "word"
    async with working(worker, database):
        task = await start("wait_for_word", word=str(word), journal=str(journal))
        ref = WorkflowRef(task, 1, f"g-{task}", "wait_for_word")
        await until(lambda: journal.exists(), within=PATIENCE)
        await temporal_wire.refuse()
        await eventually(
            lambda: engine.get_workflow_status(ref),
            lambda status: status is not None and status.attempt > 1,
            within=PATIENCE,
        )
        await temporal_wire.restore()
        await until(lambda: len(offers) >= 4, within=PATIENCE)
        word.touch()
        await ended(database, task)
        await eventually(
            lambda: engine.get_workflow_status(ref),
            lambda status: status is not None and status.state is WorkflowState.COMPLETED,
            within=PATIENCE,
        )
    assert await outcomes(database, task) == ["completed"]
    assert journal.read_text().count('"start"') == 1


async def test_a_thread_that_outlasts_the_drain_keeps_its_claim_until_its_worker_has_signed_off(
    database: Database, worker: Worker, start: Any, tmp_path: Any
) -> None:
    """Its task must not begin elsewhere beside it. The end of the lease gives it back, as that of a lost worker."""
    journal, states = tmp_path / "journal", list[str]()
    close = worker._lease.close

    async def noted() -> None:
        states.append(await database.fetchval("SELECT state FROM taskgate.dispatch"))
        await close()

    worker._lease.close = noted  # type: ignore[method-assign]
    async with working(worker, database):
        await start("block_a_thread", seconds=8.0, journal=str(journal))
        await until(lambda: journal.exists(), within=PATIENCE)
    assert states == ["running"], "it was handed back while it ran"
    assert '"end"' not in journal.read_text()
    assert not worker.is_idle
    assert await database.fetchval("SELECT renewed_at = '-infinity' FROM taskgate.process")
    await worker._runner.wait_idle()


async def test_a_run_goes_on_when_all_connections_vanish(
    database: Database, backend: str, worker: Worker, proxy: FaultyProxy, start: Any, tmp_path: Any
) -> None:
    """The server knows nothing of it, and keeps the session that has the lock of the lease."""
    renewed = "SELECT count(*) FROM taskgate.process WHERE lost_at IS NULL AND renewed_at > $1"
    word = tmp_path / "word"
    async with working(worker, database):
        task = await start("wait_for_word", word=str(word))
        await eventually(
            lambda: database.fetchval("SELECT state FROM taskgate.dispatch"),
            lambda found: found == "running",
            within=PATIENCE,
        )
        proxy.vanish()
        vanished_at = await database.fetchval("SELECT now() + interval '1 second'")
        await eventually(lambda: database.fetchval(renewed, vanished_at))
        word.touch()
        began = time.monotonic()
        await ended(database, task)
        assert time.monotonic() - began < 12
    assert await outcomes(database, task) == ["completed"]
    assert await database.fetchval("SELECT count(*) FROM taskgate.process") == 1, "it has kept its name"
