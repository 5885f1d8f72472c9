"""No script keeps Redis from its other clients for long, whatever waits there."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from backends.port import Place, WorkflowRef, WorkflowStart, WorkflowState
from backends.redis_queue import freshness, scripts, wire
from backends.redis_queue.engine import RedisQueueEngine
from backends.redis_queue.link import Link
from backends.redis_queue.scripts import Script
from workers.redis_queue.inbox import Inbox
from workers.testing.starts import new_start

pytestmark = pytest.mark.system

_ROUNDS = 5
_LONGEST = 0.02
_PAYLOADS, _CONTENT, _GROUPS = 2_000, "x" * 200_000, 3_000
_WORKER = "worker-1"
ALL = [value for value in vars(scripts).values() if isinstance(value, Script)]


class Crowd:
    """A group with 2,000 payloads of 200 kB, a tenth of them foreign, and every way in which scripts are run."""

    def __init__(self, redis: Redis, engine: RedisQueueEngine, inbox: Inbox) -> None:
        self.redis = redis
        self.engine = engine
        self.inbox = inbox
        self.queue = f"{wire.GROUP}big"

    def start(self, number: int | str, *, priority: int = 3) -> WorkflowStart:
        start = new_start({"content": _CONTENT}, group_id="big", priority=priority)
        return replace(start, ref=WorkflowRef(f"task-{number}", 1, "big", "add_episode"))

    async def fill(self) -> None:
        payloads = []
        for number in range(_PAYLOADS):
            start = self.start(number)
            if number % 10:
                payloads.append(wire.encode(start.ref, start.payload, now=time.time() - 60))
            else:
                payloads.append(
                    json.dumps({"task_id": f"foreign-{number}", "task_type": "t", "content": _CONTENT}).encode()
                )
        for first in range(0, _PAYLOADS, 50):
            await self.redis.rpush(self.queue, *payloads[first : first + 50])
        await self.redis.sadd(wire.ACTIVE_GROUPS, "big")
        for number in range(_GROUPS):
            await self.redis.sadd(wire.ACTIVE_GROUPS, f"locked-{number}")
            await self.redis.rpush(f"{wire.GROUP}locked-{number}", "{}")
            await self.redis.set(f"{wire.LOCK}locked-{number}", _WORKER)

    async def run_everything(self, number: int) -> None:
        """Each script, leaving the crowd about as it was."""
        engine, inbox, redis = self.engine, self.inbox, self.redis
        waiting = self.start(999 - number)
        assert await engine.get_workflow_status(self.start("unknown").ref) is None
        lost = await engine.find_lost([waiting.ref, self.start("gone").ref])
        assert [ref.task_id for ref in lost] == ["task-gone"]
        assert await engine.cancel_workflow(waiting.ref, "stopped")
        await engine.keep_fresh()
        await engine.get_incarnation()
        await engine.remember_mark("a-database", number)
        assert len(await engine.list_ended(datetime.now(UTC) - timedelta(hours=1))) >= 2_000

        for priority in (1, 5):
            await engine.start_workflow(self.start(f"new-{number}-{priority}", priority=priority))
        back = self.start(f"new-{number}-5").ref
        assert await engine.withdraw_not_begun([back]) == [back]
        urgent = await inbox.receive()
        assert urgent is not None
        assert wire.decode(urgent.payload).task_id == f"task-new-{number}-1"
        assert await inbox.renew([b"big", *(f"locked-{other}".encode() for other in range(1_000))]) == []
        assert await inbox.give_back_others([urgent]) == 0
        await inbox.put_back(urgent, release=True)
        again = await inbox.receive()
        assert again is not None
        assert again.digest == urgent.digest
        await inbox.end(again, "task-x", WorkflowState.COMPLETED, "", None, release=True)
        other = await inbox.receive()
        assert other is not None
        await inbox.set_aside(other, "for the test", release=True)
        assert await inbox.receive([b"big"]) is None
        await redis.delete(wire.SWEPT)
        await inbox.sweep()

        for _ in range(300):
            await redis.lmove(self.queue, f"{wire.OWN}{_WORKER}:big", "LEFT", "RIGHT")
        await redis.sadd(f"{wire.HELD}{_WORKER}", "big")
        await inbox.leave()
        held = self.start(1_500)
        await redis.lmove(self.queue, wire.PROCESSING, "RIGHT", "LEFT")
        [last] = await redis.lrange(wire.PROCESSING, 0, -1)
        message = wire.decode(last)
        held = replace(held, ref=replace(held.ref, task_id=message.task_id, epoch=message.epoch or 1))
        assert await engine.requeue_workflow(held.ref, "lost")

        sightings = await engine.ingress.look(everywhere=number % 2 == 0)
        sighting = next(sighting for sighting in sightings if sighting.group == b"big")
        taken = await engine.ingress.collect(sighting)
        assert taken is not None
        assert taken.size > 200_000
        assert {stock.place for stock in await engine.take_stock()} >= {Place.WAITING, Place.COLLECTED, Place.SET_ASIDE}
        await engine.ingress.put_back(taken)


class Stopwatch:
    """How long each script kept Redis: the processor time of its thread, so that no other program counts (seconds)."""

    def __init__(self, redis: Redis) -> None:
        self.longest: dict[str, float] = {}
        self._redis = redis
        self._alone = asyncio.Lock()

    async def run(self, link: Link, script: Script, *arguments: Any, repeat: bool = True) -> Any:
        """In place of `Link.run`."""
        async with self._alone:
            before = await self._spent()
            answer = await link.call("EVALSHA", script.digest, 0, *arguments, repeat=repeat)
            took = await self._spent() - before
        self.longest[script.name] = max(took, self.longest.get(script.name, 0.0))
        return answer

    async def _spent(self) -> float:
        told = await self._redis.info("cpu")
        return float(told["used_cpu_user_main_thread"]) + float(told["used_cpu_sys_main_thread"])


@pytest_asyncio.fixture
async def crowd(engine: RedisQueueEngine, redis: Redis, redis_server: str) -> AsyncIterator[Crowd]:
    link = Link(redis_server, timeout=30)
    crowd = Crowd(redis, engine, Inbox(link, _WORKER, lock_seconds=600, max_payload_bytes=2_000_000))
    await crowd.fill()
    async with redis.pipeline(transaction=False) as pipe:
        for number in range(2_000):
            pipe.zadd(wire.ENDED, {f"task-ended-{number}": time.time()})
            pipe.hset(f"{wire.START}task-ended-{number}", "state", "completed")
        await pipe.execute()
    for script in ALL:
        await redis.script_load(script.source.decode())
    yield crowd
    await link.close()
    await redis.flushall()


@pytest.mark.timeout(600)
async def test_no_script_keeps_redis_for_long(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest run of each script in a round; what takes longer once has four more rounds to show its usual time."""
    monkeypatch.setattr(freshness, "FRESH", timedelta(seconds=1))
    shortest: dict[str, float] = {}
    stopwatch = Stopwatch(crowd.redis)
    monkeypatch.setattr(Link, "run", lambda *call, **options: stopwatch.run(*call, **options))
    for number in range(_ROUNDS):
        stopwatch.longest = longest = {}
        await crowd.run_everything(number)
        assert longest.keys() == {script.name for script in ALL}, "each was run"
        shortest = {name: min(seconds, shortest.get(name, seconds)) for name, seconds in longest.items()}
        if max(shortest.values()) <= _LONGEST:
            break
    assert {name: seconds for name, seconds in shortest.items() if seconds > _LONGEST} == {}
