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
from workers.testing.waiting import eventually, until


class _Recorder:
    """A runner that remembers when it ran what. Its first tasks wait until the other worker has one, too."""

    def __init__(self, effects: Path) -> None:
        self.runs: list[tuple[str, str, float, float]] = []
        self.has_task = asyncio.Event()
        self._effects = effects

    async def run(self, assignment: Assignment) -> Outcome:
        begun = time.time()
        self.has_task.set()
        await until(lambda: read_effects(self._effects))
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
    effects = tmp_path / "effects.jsonl"
    recorder, stop = _Recorder(effects), asyncio.Event()
    worker = asyncio.create_task(RedisQueueWorker(redis_server, recorder, "own-worker", slots=3).run(stop))
    await recorder.has_task.wait()
    await legacy_worker.start()

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
