"""A push hands its payload to a worker that waits: without a loss, a double run, or one task too many."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from backends.port import WorkflowStart
from backends.redis_queue import dead, wire
from backends.redis_queue.engine import RedisQueueEngine
from backends.redis_queue.link import Link
from workers.outcome import Completed
from workers.redis_queue.inbox import HandedOver, Inbox
from workers.testing.proxy import FaultyProxy
from workers.testing.redis_worker import StartWorker
from workers.testing.starts import eventually, new_start

WORKER = "worker-1"


@pytest_asyncio.fixture
async def inbox(redis: Redis, redis_server: str) -> AsyncIterator[Inbox]:
    """Of a worker that was started and is alone."""
    link = Link(redis_server, timeout=5)
    async with redis.pubsub() as channel:
        await channel.subscribe(f"{wire.LISTENS}{WORKER}")
        await channel.get_message(timeout=5)
        yield Inbox(link, WORKER, lock_seconds=60, max_payload_bytes=2000)
    await link.close()


async def push(engine: RedisQueueEngine, **options: object) -> WorkflowStart:
    start = new_start(**options)  # type: ignore[arg-type]
    await engine.start_workflow(start)
    return start


async def waiting(redis: Redis, start: WorkflowStart) -> list[str]:
    """The tasks in the group's list."""
    payloads = await redis.lrange(f"{wire.GROUP}{start.ref.group_id}", 0, -1)
    return [json.loads(payload)["task_id"] for payload in payloads]


async def test_it_is_as_if_the_worker_had_picked_it(engine: RedisQueueEngine, redis: Redis, inbox: Inbox) -> None:
    assert await inbox.pick() is None
    start = await push(engine)
    offer = await inbox.receive(5)
    assert offer is not None
    group = start.ref.group_id
    assert wire.decode(offer.payload).task_id == start.ref.task_id
    assert (offer.group, offer.size) == (group.encode(), len(offer.payload))
    assert await redis.get(f"{wire.LOCK}{group}") == WORKER.encode()
    assert 0 < await redis.ttl(f"{wire.LOCK}{group}") <= 60
    assert await redis.lrange(f"{wire.OWN}{WORKER}:{group}", 0, -1) == [offer.payload]
    assert await waiting(redis, start) == []
    assert await engine.list_workers() == {WORKER}


async def test_who_waits_is_handed_one(engine: RedisQueueEngine, redis: Redis, inbox: Inbox) -> None:
    assert await inbox.pick() is None
    first, second = await push(engine), await push(engine)
    assert await waiting(redis, second) == [second.ref.task_id]
    with pytest.raises(HandedOver):
        await inbox.pick()
    offer = await inbox.receive(5)
    assert offer is not None
    assert wire.decode(offer.payload).task_id == first.ref.task_id
    offer = await inbox.pick()
    assert offer is not None
    assert wire.decode(offer.payload).task_id == second.ref.task_id


async def test_what_comes_before_the_answer_of_a_pick_is_not_waited_for_again(
    engine: RedisQueueEngine, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notice travels on another connection than the answer that says that there was nothing."""
    run = inbox._link.run

    async def slow_answer(*arguments: object, **options: object) -> object:
        answer = await run(*arguments, **options)  # type: ignore[arg-type]
        await push(engine)
        assert await inbox.receive(5) is not None
        return answer

    monkeypatch.setattr(inbox._link, "run", slow_answer)
    assert await inbox.pick() is None
    monkeypatch.undo()
    assert await inbox.pick() is None, "it does not believe that it waits"


async def test_the_most_urgent_is_handed_over(engine: RedisQueueEngine, redis: Redis, inbox: Inbox) -> None:
    urgent = new_start(priority=1)
    await redis.set(f"{wire.LOCK}{urgent.ref.group_id}", "somebody", ex=60)
    await engine.start_workflow(urgent)
    assert await inbox.pick() is None
    await redis.delete(f"{wire.LOCK}{urgent.ref.group_id}")
    ordinary = await push(engine)
    offer = await inbox.receive(5)
    assert offer is not None
    assert wire.decode(offer.payload).task_id == urgent.ref.task_id
    assert await waiting(redis, ordinary) == [ordinary.ref.task_id]


async def test_what_is_too_large_is_cut(engine: RedisQueueEngine, inbox: Inbox) -> None:
    assert await inbox.pick() is None
    await push(engine, payload={"content": "x" * (dead.SHOWN_BYTES + 1000)})
    handed = await inbox.receive(5)
    assert handed is not None
    assert handed.size > dead.SHOWN_BYTES == len(handed.payload)
    await inbox.put_back(handed, release=True)
    picked = await inbox.pick()
    assert picked is not None
    assert (picked.size, picked.digest, picked.payload) == (handed.size, handed.digest, handed.payload)


async def test_who_has_not_said_so_lately_waits_no_longer(engine: RedisQueueEngine, redis: Redis, inbox: Inbox) -> None:
    """It may be dead, or stopped."""
    assert await inbox.pick() is None
    await redis.zadd(wire.WAITING, {WORKER: time.time() - 0.001})
    start = await push(engine)
    assert await waiting(redis, start) == [start.ref.task_id]
    assert await redis.exists(f"{wire.HANDED}{WORKER}") == 0


async def test_who_was_killed_waits_no_longer(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    living, killed = [await start_worker(slots=2) for _ in range(2)]
    await eventually(lambda: redis.zcard(wire.WAITING), lambda number: number == 2)
    await killed.kill()
    await redis.zadd(wire.WAITING, {killed.worker_id: time.time() + 60})
    await eventually(lambda: redis.pubsub_numsub(f"{wire.LISTENS}{killed.worker_id}"), lambda found: found[0][1] == 0)
    for _ in range(3):
        start = await push(engine)
        assert (await living.run_next()).task_id == start.ref.task_id


async def test_what_was_pushed_is_announced_when_another_was_handed_over(
    engine: RedisQueueEngine, redis: Redis, inbox: Inbox
) -> None:
    older = new_start()
    await redis.set(f"{wire.LOCK}{older.ref.group_id}", "somebody", ex=60)
    await engine.start_workflow(older)
    assert await inbox.pick() is None
    await redis.delete(f"{wire.LOCK}{older.ref.group_id}")
    await redis.zincrby(wire.TENANTS, -1, "acme")
    async with redis.pubsub() as channel:
        await channel.subscribe(wire.WAKE)
        await channel.get_message(timeout=5)
        later = new_start(priority=5)
        await engine.start_workflow(later)
        message = await channel.get_message(timeout=5)
    offer = await inbox.receive(5)
    assert offer is not None
    assert wire.decode(offer.payload).task_id == older.ref.task_id
    assert message is not None
    assert message["data"] == later.ref.group_id.encode()


async def test_room_to_spare_is_for_a_tenants_only_payload(
    engine: RedisQueueEngine, redis: Redis, inbox: Inbox
) -> None:
    """The one that picks is busy with a crowd; who comes beside need not wait until it picks again."""
    crowd = [new_start() for _ in range(3)]
    for start in crowd:
        await engine.start_workflow(start)
    assert await inbox.pick(spare=True) is not None
    await push(engine)
    assert await inbox.receive(0.05) is None, "the crowd waits for the next pick"
    other = replace(new_start(), tenant_id="globex")
    await engine.start_workflow(other)
    offer = await inbox.receive(5)
    assert offer is not None
    assert wire.decode(offer.payload).task_id == other.ref.task_id
    third = replace(new_start(), tenant_id="initech")
    await engine.start_workflow(third)
    assert await waiting(redis, third) == [third.ref.task_id], "room for one was promised"
    assert await inbox.pick(spare=False) is not None
    await engine.start_workflow(replace(new_start(), tenant_id="umbrella"))
    assert await inbox.receive(0.05) is None, "no room is left"


async def test_nothing_ordinary_goes_before_the_urgent(engine: RedisQueueEngine, inbox: Inbox) -> None:
    for start in (new_start(), new_start(priority=1), new_start(priority=1)):
        await engine.start_workflow(start)
    assert await inbox.pick(spare=True) is not None
    await engine.start_workflow(replace(new_start(), tenant_id="globex"))
    assert await inbox.receive(0.05) is None


async def test_nothing_is_handed_to_nobody(engine: RedisQueueEngine, redis: Redis) -> None:
    start = await push(engine)
    assert await waiting(redis, start) == [start.ref.task_id]


async def test_what_was_never_received_comes_back(engine: RedisQueueEngine, redis: Redis, inbox: Inbox) -> None:
    assert await inbox.pick() is None
    start = await push(engine)
    assert await inbox.give_back_others([]) == 1
    assert await waiting(redis, start) == [start.ref.task_id]
    assert await inbox.receive(0.01) is None
    assert await redis.exists(f"{wire.LOCK}{start.ref.group_id}") == 0


@pytest.mark.parametrize("is_dead", [True, False])
async def test_who_left_is_handed_nothing(engine: RedisQueueEngine, redis: Redis, inbox: Inbox, is_dead: bool) -> None:
    """A dead worker is left by whoever knows it."""
    assert await inbox.pick() is None
    handed = await push(engine)
    if is_dead:
        assert await engine.release_worker(WORKER) == 1
    else:
        await inbox.leave()
    later = await push(engine)
    for start in (handed, later):
        assert await waiting(redis, start) == [start.ref.task_id]
    assert await redis.keys("taskgate:wait*") == []
    assert await engine.list_workers() == frozenset()


async def test_a_stopping_worker_puts_back_what_it_was_handed(
    engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker
) -> None:
    worker = await start_worker(slots=2)
    await push(engine, group_id="running")
    running = await worker.next()
    await eventually(lambda: redis.zcard(wire.WAITING), bool)
    worker.ask_to_stop()
    start = await push(engine)
    await eventually(lambda: waiting(redis, start), lambda found: found == [start.ref.task_id])
    running.finish(Completed())
    await worker.stop()
    assert len(worker.runner.seen) == 1
    assert await waiting(redis, start) == [start.ref.task_id]


async def test_there_are_never_more_tasks_than_slots(engine: RedisQueueEngine, start_worker: StartWorker) -> None:
    """Pushes come while the worker looks by itself."""
    worker = await start_worker(slots=1, poll_seconds=0.001)
    for _ in range(60):
        pushes = [asyncio.create_task(push(engine)) for _ in range(3)]
        for _ in pushes:
            running = await worker.next()
            assert worker.worker.running == 1
            running.finish(Completed())
        await asyncio.gather(*pushes)
    assert len({seen.task_id for seen in worker.runner.seen}) == len(worker.runner.seen) == 180


async def test_each_of_many_workers_is_handed_its_own(engine: RedisQueueEngine, start_worker: StartWorker) -> None:
    workers = [await start_worker(slots=2) for _ in range(3)]
    for _ in range(20):
        starts = await asyncio.gather(*(push(engine) for _ in range(6)))
        running = await asyncio.gather(*(worker.next() for worker in workers for _ in range(2)))
        assert {one.assignment.task_id for one in running} == {start.ref.task_id for start in starts}
        for one in running:
            one.finish(Completed())
        await asyncio.gather(*(engine.get_workflow_result(start.ref) for start in starts))


async def test_a_notice_that_was_lost_on_the_way(
    engine: RedisQueueEngine, redis: Redis, proxy: FaultyProxy, start_worker: StartWorker
) -> None:
    worker = await start_worker(f"redis://{proxy.host}:{proxy.port}/0", timeout=0.5)
    await eventually(lambda: redis.zcard(wire.WAITING), bool)
    proxy.swallow_answers()
    start = await push(engine)
    await eventually(lambda: redis.exists(f"{wire.HANDED}{worker.worker_id}"), lambda there: not there)
    await proxy.restore()
    assert (await worker.run_next()).task_id == start.ref.task_id
    assert await engine.get_workflow_result(start.ref) is None
    assert len(worker.runner.seen) == 1


async def test_a_redis_that_forgot_who_waits(engine: RedisQueueEngine, redis: Redis, start_worker: StartWorker) -> None:
    worker = await start_worker(slots=1)
    await eventually(lambda: redis.zcard(wire.WAITING), bool)
    await redis.flushall()
    start = await push(engine)
    assert (await worker.run_next()).task_id == start.ref.task_id


async def test_a_worker_that_cannot_receive_ends(
    redis: Redis, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever watches over it starts another; one that goes on without would take nothing, and say nothing."""
    worker = await start_worker()
    await redis.rpush(f"{wire.HANDED}{worker.worker_id}", "no notice")
    with pytest.raises(ValueError, match="not enough values"):
        await worker.ended()
