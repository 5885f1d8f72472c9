"""A start belongs to the process that makes it: nobody repeats it meanwhile, nor takes it back from who did later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from backends.errors import StartUncertain
from backends.memory.engine import MemoryEngine
from backends.port import WorkflowStart
from contracts.least import least
from contracts.slow_engines import ClosedEngine, ParallelEngine, SerialEngine
from gateway.access.placement import Placement
from gateway.bootstrap import Gateway, build_gateway
from gateway.dispatch.open_starts import OpenStarts
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.submission.new_task import NewTask
from gateway.submission.start_plan import REPEAT_SECONDS
from workers.testing.waiting import eventually, until

BURST, LATER = 512, 100
#: Starts a second that the engine takes.
RATE = 150.0
#: Least part of the time in which the engine takes starts while there are some to be made.
BUSY = 0.8

PASS_TIME = """
UPDATE taskgate.dispatch SET due_at = due_at - make_interval(secs => $1)
WHERE task_id IN (SELECT task_id FROM taskgate.dispatch WHERE state = 'starting' FOR UPDATE SKIP LOCKED)
"""


def task(tenant: str) -> NewTask:
    return NewTask("probe", "g", {}, Placement(tenant, None, None), None)


def build(database: Database, *engines: MemoryEngine) -> Gateway:
    settings = Settings(database_url=database.url, grpc_enabled=False)
    gateway = build_gateway(settings, engines={engine.name: engine for engine in engines})
    gateway.router._flags = StaticFlags(Stage.OFF)
    return gateway


@asynccontextmanager
async def running(database: Database, *engines: MemoryEngine) -> AsyncIterator[Gateway]:
    gateway = build(database, *engines)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.close()


async def pass_time(database: Database, seconds: float) -> None:
    """As if all starts under way had been begun, or renewed, so much earlier."""
    await database.execute(PASS_TIME, seconds)


async def grow_lane(gateway: Gateway, engine: MemoryEngine) -> None:
    """The lane of this engine learns that it may give it many starts at once; how soon depends on the machine."""
    gateway.router._flags = StaticFlags(Stage.LIVE)
    async with asyncio.timeout(30):
        while gateway.dispatcher._lanes[engine.name].limit <= 10:
            given = len(engine.starts) + 400
            await gateway.intake.submit([task("tenant-0") for _ in range(400)])
            await until(lambda given=given: len(engine.starts) >= given, within=30)
    gateway.router._flags = StaticFlags(Stage.OFF)


@pytest.mark.parametrize("is_alone", [True, False], ids=["alone", "beside a fast engine"])
async def test_a_burst_that_takes_long_is_started_once_and_at_the_engines_rate(
    is_alone: bool, database: Database
) -> None:
    """512 tasks are submitted at once to an engine that takes starts one after the other, and further ones while
    those wait. The starts take far longer than until a start without an owner is repeated.
    """
    engine, fast = SerialEngine(RATE, name="redis"), ParallelEngine(name="temporal")
    async with running(database, engine, *([] if is_alone else [fast])) as gateway:
        if not is_alone:
            await grow_lane(gateway, fast)

        async def burst() -> float:
            """The part of the time in which the engine was idle."""
            began, before, busy = time.monotonic(), len(engine.taken), engine.busy_seconds
            for _ in range(BURST // 32):
                await asyncio.gather(*(gateway.intake.submit([task(f"tenant-{n % 2}")]) for n in range(32)))
            for _ in range(LATER):
                await gateway.intake.submit([task("tenant-0")])
                await pass_time(database, 3.0)
            await engine.until_taken(before + BURST + LATER)
            return 1 - (engine.busy_seconds - busy) / (time.monotonic() - began)

        assert await least(burst, 1 - BUSY) < 1 - BUSY
        await eventually(
            lambda: database.fetchval("SELECT count(*) FROM taskgate.dispatch WHERE state <> 'queued'"),
            lambda found: not found,
        )
    assert max(engine.taken.values()) == 1


async def test_nobody_repeats_what_its_owner_renews(database: Database) -> None:
    engine, other_engine = ClosedEngine(name="redis"), MemoryEngine(name="redis")
    other = build(database, other_engine)
    async with running(database, engine) as gateway:
        for _ in range(20):
            await gateway.intake.submit([task("many")])
        for _ in range(3):
            await pass_time(database, 9.0)
            await _open_starts(gateway).renew(older_than=0)
            await other.dispatcher.sweep()
        assert other_engine.starts == []
        # It renews no longer: whoever looks repeats them.
        await pass_time(database, 11.0)
        # Looks that took long are followed by a rest: it may take several.
        await eventually(other.dispatcher.sweep, lambda _: len(other_engine.starts) >= 20)
        await other.dispatcher.close()
        assert len(other_engine.starts) == 20
        assert {start.ref.epoch for start in other_engine.starts} == {1}
        # Of its own tries nothing came: the tasks stay with the engine that the other one told of them.
        engine.opened.set()
        await eventually(lambda: _count_open(gateway), lambda found: not found)
    rows = await database.fetch("SELECT DISTINCT state, epoch FROM taskgate.dispatch")
    assert [tuple(row) for row in rows] == [("queued", 1)]
    await other.close()


async def test_what_was_never_sent_waits_again(database: Database) -> None:
    engine = ClosedEngine(name="redis")
    async with running(database, engine) as gateway:
        for _ in range(20):
            await gateway.intake.submit([task("many")])
        engine.opened.set()
        await eventually(lambda: _count_open(gateway), lambda found: not found)
        # Whoever waited for a turn did not ask an engine that was known to be down by then.
        assert engine.asked < 20
    rows = await database.fetch("SELECT DISTINCT state, epoch, owner_id FROM taskgate.dispatch")
    assert [tuple(row) for row in rows] == [("waiting", 0, None)]


class OnceEngine(MemoryEngine):
    """Raises `first` at the first start, which it does not take."""

    def __init__(self, first: Exception) -> None:
        super().__init__(name="redis")
        self.first: Exception | None = first

    async def start_workflow(self, start: WorkflowStart) -> None:
        if self.first is not None:
            first, self.first = self.first, None
            raise first
        await super().start_workflow(start)


#: Refuses to write the first outcome; a sequence remembers it beyond the transaction that is rolled back.
REFUSE_ONCE = """
CREATE SEQUENCE refusals;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('refusals') = 1 THEN RAISE EXCEPTION USING ERRCODE = '{}'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON taskgate.dispatch
    FOR EACH ROW WHEN (OLD.state = 'starting' AND NEW.owner_id IS NULL) EXECUTE FUNCTION refuse()
"""


@pytest.mark.parametrize("code", ["57014", "XX000"])
async def test_a_start_whose_outcome_could_not_be_written_is_repeated(code: str, database: Database) -> None:
    await database.execute(REFUSE_ONCE.format(code))
    engine = OnceEngine(StartUncertain())
    async with running(database, engine) as gateway:
        await gateway.intake.submit([task("one")])
        await eventually(lambda: _count_open(gateway), lambda found: not found)
        assert await database.fetchval("SELECT last_value FROM refusals") == 1, "it was refused"
        await pass_time(database, REPEAT_SECONDS + 1)
        await until(lambda: len(engine.starts) == 1)


async def test_a_start_that_fails_as_nobody_foresaw_is_repeated(database: Database) -> None:
    engine = OnceEngine(RuntimeError("unforeseen"))
    async with running(database, engine) as gateway:
        await gateway.intake.submit([task("one")])
        await eventually(lambda: _count_open(gateway), lambda found: not found)
        await pass_time(database, REPEAT_SECONDS + 1)
        await until(lambda: len(engine.starts) == 1)


def _open_starts(gateway: Gateway) -> OpenStarts:
    return gateway.dispatcher.open_starts


async def _count_open(gateway: Gateway) -> int:
    return len(_open_starts(gateway))
