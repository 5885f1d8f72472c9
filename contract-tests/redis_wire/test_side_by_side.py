"""Both workers on one Redis: each task runs once, and a group's tasks one at a time."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

import asyncpg
from redis.asyncio import Redis

from backends.redis_queue.engine import RedisQueueEngine
from legacy_system import LegacyProducer, LegacyWorkerProcess, read_effects
from workers.outcome import Assignment, Completed, Outcome
from workers.redis_queue.worker import RedisQueueWorker
from workers.testing.starts import new_start
from workers.testing.waiting import eventually


class _Recorder:
    """A runner that takes a moment and remembers when it ran what."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, str, float, float]] = []

    async def run(self, assignment: Assignment) -> Outcome:
        begun = time.time()
        await asyncio.sleep(0.01)
        self.runs.append((assignment.group_id, assignment.task_id, begun, time.time()))
        return Completed()


async def test_each_task_runs_once_and_groups_are_exclusive(
    engine: RedisQueueEngine,
    legacy_worker: LegacyWorkerProcess,
    rows: asyncpg.Connection,
    redis: Redis,
    redis_server: str,
    tmp_path: Path,
) -> None:
    producer = LegacyProducer(redis)
    groups = [f"group-{n}" for n in range(5)]
    submitted: dict[str, str] = {}
    for number in range(80):
        group = groups[number % len(groups)]
        if number % 2:
            submitted[await producer.submit("noop", group, {"effect": "sleep:0.01"})] = group
        else:
            start = new_start({"effect": "sleep:0.01"}, group_id=group, task_type="noop")
            await engine.start_workflow(start)
            submitted[start.ref.task_id] = group
    await legacy_worker.start()
    recorder, stop = _Recorder(), asyncio.Event()
    worker = asyncio.create_task(RedisQueueWorker(redis_server, recorder, "own-worker", slots=3).run(stop))
    effects = tmp_path / "effects.jsonl"

    async def ended() -> int:
        return len(recorder.runs) + sum(line["event"] == "end" for line in read_effects(effects))

    await eventually(ended, lambda count: count >= len(submitted), within=60)
    stop.set()
    await worker

    runs = list(recorder.runs)
    begun: dict[str, float] = {}
    for line in read_effects(effects):
        if line["event"] == "start":
            begun[line["task"]] = line["at"]
        else:
            runs.append((submitted[line["task"]], line["task"], begun[line["task"]], line["at"]))
    assert sorted(task_id for _, task_id, _, _ in runs) == sorted(submitted)
    assert recorder.runs, "the gateway's worker took part"
    assert begun, "the legacy worker took part"
    for group in groups:
        times = sorted((start, end) for its_group, _, start, end in runs if its_group == group)
        assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(times))
