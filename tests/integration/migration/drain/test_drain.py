"""What is left for Redis, tenant by tenant, and never a false `safe to switch off`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from backends.port import WorkflowRef, WorkflowStart
from backends.redis_queue import dead, wire
from backends.redis_queue.engine import RedisQueueEngine
from gateway.errors import TenantNotFound
from gateway.ingress.foreign import ForeignWatch
from gateway.migration.drain.report import Drain, Report
from gateway.migration.drain.verdict import Counts, DrainVerdict
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags
from gateway.storage.database import Database
from workers.testing.starts import new_start

Left = Callable[[Any], Awaitable[None]]


def counts(report: Report) -> dict[str, int]:
    """Those that are not nought."""
    found = report.left.counts
    return {name: getattr(found, name) for name in Counts.__slots__ if getattr(found, name)}


async def test_safe_when_nothing_is_left_and_nobody_was_seen(drain: Drain, redis: Redis) -> None:
    report = await drain.report()
    assert (report.left.verdict, report.missing, report.left.blocked_by) == (DrainVerdict.SAFE, [], [])
    assert (report.postgresql, report.redis, report.left.eta) == (0, 0, None)
    assert (await drain.report("acme")).left.verdict is DrainVerdict.SAFE
    with pytest.raises(TenantNotFound):
        await drain.report("nobody")


class Place:
    """Puts one thing somewhere."""

    def __init__(self, redis: Redis, database: Database, engine: RedisQueueEngine, payload: Any, add: Any) -> None:
        self.redis, self.database, self.engine, self.payload, self.add = redis, database, engine, payload, add

    async def group_that_is_not_active(self) -> None:
        await self.redis.rpush(f"{wire.GROUP}p-acme", self.payload())

    async def dead_workers_list(self) -> None:
        await self.redis.rpush(f"{wire.OWN}long-gone:p-acme", self.payload())

    async def own_payload_in_dead_workers_list(self) -> None:
        start = new_start(group_id="p-acme")
        await self.engine.start_workflow(start)
        await self.redis.rename(f"{wire.GROUP}p-acme", f"{wire.OWN}long-gone:p-acme")

    async def processing(self) -> None:
        await self.redis.rpush(wire.PROCESSING, self.payload())

    async def keeping_of_the_bridge(self) -> None:
        await self.redis.hset(wire.COLLECTED, "entry", f"6:p-acme{self.payload()}")

    async def dead_list(self) -> None:
        await self.redis.rpush(wire.DEAD, dead.entry("not JSON", b"p-acme", b"{", 1))

    async def pending_row_of_a_legacy_producer(self) -> None:
        await self.database.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, payload, created_at)"
            " VALUES ('t', 'p-acme', 'add_episode', 'PENDING', '{}', now() - interval '3 days')"
        )

    async def row_that_a_legacy_worker_runs(self) -> None:
        await self.database.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, worker_id, started_at, created_at)"
            " VALUES ('t', 'p-acme', 'add_episode', 'PROCESSING', 'old-1', now(), now() - interval '3 days')"
        )

    async def queued_task_that_redis_lost(self) -> None:
        await self.add("t")

    async def task_on_its_way(self) -> None:
        await self.add("t", state="'starting'")

    async def running_task(self) -> None:
        await self.add("t", state="'running'", worker_id="'w'", claimed_at="now()")


@pytest.mark.parametrize("place", [name for name in vars(Place) if not name.startswith("_")])
async def test_one_thing_anywhere_is_not_safe(
    place: str, drain: Drain, redis: Redis, database: Database, engine: RedisQueueEngine, payload: Any, add: Any
) -> None:
    await getattr(Place(redis, database, engine, payload, add), place)()
    report = await drain.report()
    assert report.left.verdict is not DrainVerdict.SAFE
    assert report.missing
    # Nobody else may switch it off either.
    assert (await drain.report("globex")).left.verdict is DrainVerdict.DRAINED


async def test_redis_away_is_not_safe(new_drain: Any) -> None:
    away = RedisQueueEngine("redis://127.0.0.1:1/0", timeout=0.5)
    report = await new_drain(away).report()
    await away.close()
    assert report.left.verdict is DrainVerdict.BLOCKED
    assert report.redis is None
    assert report.left.blocked_by == [
        "redis does not answer, so what it holds cannot be seen: bring it back; if it was switched off for good,"
        " take TASKGATE_REDIS_URL out of the settings"
    ]
    assert (await new_drain(None).report()).left.blocked_by == [
        "redis is not configured here: ask a gateway that has TASKGATE_REDIS_URL"
    ]


async def test_somebody_who_may_still_be_sent_to_redis_is_not_safe(drain: Drain, redis: Redis, flags: Any) -> None:
    flags.put(Scope("globex", None, "probe"), Stage.LIVE)
    report = await drain.report()
    assert report.left.verdict is DrainVerdict.DRAINED
    assert report.missing == ["tenant globex and task type probe at live: set stage complete"]


async def test_a_producer_that_pushes_a_task_a_day(
    drain: Drain, redis: Redis, database: Database, engine: RedisQueueEngine
) -> None:
    """A worker took its payload at once: only the row tells of it."""
    await database.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, payload, created_at, completed_at)"
        " VALUES ('t', 'p-acme', 'add_episode', 'COMPLETED', '{}', now() - interval '24 hours', now())"
    )
    await ForeignWatch(database, engine, seconds=1).tick()
    report = await drain.report()
    assert report.left.verdict is DrainVerdict.DRAINED
    [line] = report.missing
    assert line.startswith("a producer of tenant acme wrote a row into task_logs past the gateway at ")


async def test_what_was_seen_long_ago_is_forgotten(drain: Drain, redis: Redis, database: Database) -> None:
    await database.execute(
        "INSERT INTO taskgate.foreign_sighting (tenant_id, hour, last_at, what) VALUES"
        " ('acme', date_trunc('hour', now() - interval '26 hours'), now() - interval '26 hours', 'payload')"
    )
    assert (await drain.report()).left.verdict is DrainVerdict.SAFE


async def test_nobody_looked_meanwhile(drain: Drain, redis: Redis, database: Database) -> None:
    await database.execute("UPDATE taskgate.foreign_look SET looked_at = now() - interval '1 hour'")
    report = await drain.report()
    assert (report.left.verdict, len(report.missing)) == (DrainVerdict.DRAINED, 1)
    assert report.missing[0].startswith("nobody looks for producers past the gateway")


async def test_each_is_counted_in_one_place(
    drain: Drain, redis: Redis, database: Database, engine: RedisQueueEngine, flags: StaticFlags, payload: Any, add: Any
) -> None:
    flags.put(Scope("acme"), Stage.OFF)
    await database.execute(
        "INSERT INTO taskgate.process (process_id, kind, backend, host, pid, version, lock_key, slots)"
        " VALUES ('w', 'worker', 'redis', 'here', 1, '0', 1, 20)"
    )
    await add("queued")
    await engine.start_workflow(WorkflowStart(WorkflowRef("queued", 1, "p-acme", "probe"), {}, new_start().timeout))
    await add("runs", state="'running'", worker_id="'w'", claimed_at="now()")
    await add("legacy", state="'running'", worker_id="'old-1'", claimed_at="now()")
    await add("due", state="'waiting'")
    await add("later", state="'waiting'", not_before="now() + interval '1 hour'", due_at="now() + interval '1 hour'")
    await add("again", state="'waiting'", failures="1", due_at="now() + interval '1 minute'")
    await add("paused", state="'waiting'", held="'paused:x'")
    await add("quota", state="'waiting'", held="'quota:running'")
    # Not for Redis.
    await add("temporal", backend="'temporal'")
    await add("moved", state="'waiting'", tenant_id="'globex'")
    await add("step", state="'waiting'", dag_run_id="'run'")
    await add("done", state="'completed'", finished_at="now()")
    await redis.rpush(f"{wire.GROUP}p-acme", payload())
    await redis.rpush(wire.PROCESSING, payload())
    await redis.rpush(wire.DEAD, dead.entry("not JSON", b"p-acme", b"{", 1))
    await database.execute(
        "INSERT INTO taskgate.schedule (schedule_id, tenant_id, user_id, name, definition, fire_at, created_at,"
        """ updated_at) VALUES ('s', 'acme', 'u', 's', '{"action": {"type": "probe"}}', now(), now(), now()),"""
        """ ('t', 'globex', 'u', 't', '{"action": {"type": "probe"}}', now(), now(), now())"""
    )
    report = await drain.report("acme")
    assert counts(report) == {
        "queued": 2,
        "delayed": 1,
        "retrying": 1,
        "running": 1,
        "on_legacy_workers": 2,
        "held_by_quota": 1,
        "held_by_pause": 1,
        "past_gateway": 1,
        "set_aside": 1,
        "schedules": 1,
    }
    assert report.left.verdict is DrainVerdict.BLOCKED
    assert report.left.blocked_by[0] == (
        "pauses hold 1 task: see taskgate pause list, and end them with taskgate resume"
    )
    assert report.left.blocked_by[1].startswith("1 schedule to fire to redis, next at ")
    assert (report.postgresql, report.redis) == (8, 4)
    whole = await drain.report()
    assert counts(whole) == counts(report)
    assert [left.tenant_id for left in whole.tenants] == ["acme"]
    assert counts(await drain.report("globex")) == {}


async def test_the_slowest_are_named_with_why(
    drain: Drain, redis: Redis, database: Database, flags: StaticFlags, add: Any
) -> None:
    flags.put(Scope("acme"), Stage.OFF)
    await database.execute(
        "INSERT INTO taskgate.pause (pause_id, tenant_id, why, set_by) VALUES ('x', 'acme', 'night', 'ada')"
    )
    await add("paused", state="'waiting'", held="'paused:x'")
    await add("late", state="'waiting'", not_before="now() + interval '9 hours'", due_at="now() + interval '9 hours'")
    await add("early", state="'waiting'", not_before="now() + interval '1 hour'", due_at="now() + interval '1 hour'")
    for number in range(12):
        await add(f"queued-{number:02}", created_at=f"now() - interval '{100 - number} minutes'")
    found = (await drain.report("acme")).slowest
    assert [slow.task_id for slow in found] == ["paused", "late", "early", *(f"queued-{n:02}" for n in range(7))]
    assert found[0].why == "it is paused by ada: night"
    assert found[1].why.startswith("it is not due before ")
    assert found[3].why == "no live worker serves `probe` on redis (legacy workers are not seen)"
    assert [slow.task_id for slow in (await drain.report("globex")).slowest] == []


async def test_the_end_is_foretold_from_what_ended(drain: Drain, redis: Redis, database: Database, add: Any) -> None:
    await database.execute(
        "INSERT INTO taskgate.process (process_id, kind, backend, host, pid, version, lock_key, slots)"
        " VALUES ('w', 'worker', 'redis', 'here', 1, '0', 1, 20)"
    )
    for number in range(30):  # one after the other, 2 s each, half a second between
        begun = f"now() - interval '{100 - 2.5 * number} s'"
        await add(
            f"done-{number}",
            state="'completed'",
            queued_at="now() - interval '10 minutes'",
            claimed_at=begun,
            finished_at=f"{begun} + interval '2 s'",
        )
    for number in range(40):
        await add(f"queued-{number}", created_at="now() - interval '1 hour'")
    left = (await drain.report("acme")).left
    assert left.eta is not None
    assert left.eta.seconds == pytest.approx(100, rel=0.02)
    assert left.rate_out == pytest.approx(30 / 300)
    assert left.verdict is DrainVerdict.DRAINING


async def test_without_a_worker_it_is_blocked(drain: Drain, redis: Redis, add: Any) -> None:
    await add("t")
    left = (await drain.report()).left
    assert left.verdict is DrainVerdict.BLOCKED
    assert left.blocked_by == ["no worker serves redis, where 1 task should run: start one"]
