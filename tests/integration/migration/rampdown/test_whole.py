"""A whole gateway with a worker of Temporal, and an unmodified legacy worker beside it, while a tenant's tasks move."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from contracts.people import Household
from contracts.world import PATIENCE, Servers, World
from gateway.migration.guardrails.baseline import baselines_of
from gateway.migration.parity.eprocess import Rate
from gateway.migration.parity.evidence import Counts, Evidence
from gateway.routing.stages import Stage
from gateway.settings import Settings
from legacy_system import LEGACY, LegacyWorkerProcess, read_effects
from workers.testing.waiting import eventually, until

GROUPS, TASKS = 6, 60


class Moving(World):
    """Its handlers are those of the legacy worker, and note what they do; no worker of ours serves Redis."""

    def settings(self, **more: Any) -> Settings:
        return super().settings(**{"handlers": "legacy_effects", "reconcile_seconds": 0.2, **more})

    def _reachable(self) -> list[str]:
        return ["temporal"]

    async def send(self, home: Household, count: int, effect: str = "sleep:0.05", **more: Any) -> list[str]:
        """Tasks in `GROUPS` groups; their ids."""
        projects = [f"{home.project_id}-{number}" for number in range(GROUPS)]
        for project in projects:
            if not await self.database.fetchval("SELECT count(*) FROM projects WHERE id = $1", project):
                await self.people.project(project, home.tenant_id, home.owner)
        ids = []
        for number in range(count):
            body = {"type": "noop", "payload": {"effect": effect}, "project_id": projects[number % GROUPS], **more}
            answer = await self.client(home.owner).post("/gateway/v1/tasks", json=body)
            assert answer.status_code == 202, answer.text
            ids.append(str(answer.json()["task_id"]))
        return ids

    async def until_count(self, wanted: int, condition: str) -> None:
        await eventually(lambda: self.count(condition), lambda found: found == wanted, within=PATIENCE)

    async def count(self, condition: str) -> int:
        return int(await self.database.fetchval(f"SELECT count(*) FROM taskgate.dispatch WHERE {condition}"))


@pytest.fixture
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "effects.jsonl"
    path.touch()
    monkeypatch.setenv("LEGACY_EFFECTS", str(path))
    monkeypatch.syspath_prepend(str(LEGACY))
    return path


@pytest_asyncio.fixture
async def world(queue: Redis, own_servers: Servers, tmp_path: Path, effects: Path) -> AsyncIterator[Moving]:
    async with Moving("off", own_servers, tmp_path).running() as moving:
        yield moving


@pytest_asyncio.fixture
async def legacy(own_servers: Servers, effects: Path) -> AsyncIterator[LegacyWorkerProcess]:
    """With a quick recovery loop; to be started by the test."""
    process = LegacyWorkerProcess(
        own_servers.redis_url or "", own_servers.database_url, effects, recovery_seconds=0.3, stale_seconds=0.3
    )
    yield process
    await process.kill()


async def test_beside_a_legacy_worker_nothing_runs_twice(world, legacy, effects):
    home = await world.people.household()
    tasks = await world.send(home, TASKS)
    await world.until_count(TASKS, "state = 'queued' AND backend = 'redis'")
    await legacy.start()
    await until(lambda: len(read_effects(effects)) >= GROUPS, within=PATIENCE)
    await world.flag.set(Stage.RAMPDOWN, home.tenant_id)
    await world.until_count(TASKS, "state = 'completed'")
    starts = Counter(line["task"] for line in read_effects(effects) if line["event"] == "start")
    assert starts == dict.fromkeys(tasks, 1)
    by_backend = await world.database.fetch("SELECT backend, count(*) FROM taskgate.dispatch GROUP BY 1 ORDER BY 1")
    assert [row["backend"] for row in by_backend] == ["redis", "temporal"], "both took part"


async def test_what_a_legacy_worker_ran_is_the_baseline(world, legacy):
    """Short runs and failed ones, of which nobody but the legacy worker knows that they began."""
    home = await world.people.household()
    await world.send(home, TASKS, "")
    await world.send(home, GROUPS, "fail:no")
    await legacy.start()
    await world.until_count(TASKS, "state = 'completed'")
    await world.until_count(GROUPS, "state = 'failed'")
    hour, all_ = timedelta(hours=1), TASKS + GROUPS
    await eventually(
        lambda: world.database.fetchval("SELECT count(*) FROM taskgate.outcome WHERE failed IS NOT NULL"),
        lambda found: found >= all_,
        within=PATIENCE,
    )
    now = datetime.now(UTC)
    slices = await Evidence(world.database).slices(home.tenant_id, now - hour, now + hour)
    assert baselines_of(slices, now)["noop"].failed == Rate(all_, GROUPS)
    sums = Counts.of([one.counts for one in slices])
    assert (sums.ended, len(sums.wait), len(sums.run), sums.dead) == (all_, all_, TASKS, GROUPS)


async def test_what_a_legacy_worker_holds_ends_there(world, legacy, effects):
    home = await world.people.household()
    held = await world.send(home, GROUPS, "sleep:4")
    await world.until_count(GROUPS, "state = 'queued' AND backend = 'redis'")
    await legacy.start()
    await until(lambda: len(read_effects(effects)) >= GROUPS, within=PATIENCE)
    behind = await world.send(home, GROUPS)
    await world.flag.set(Stage.RAMPDOWN, home.tenant_id)
    await world.until_count(2 * GROUPS, "state = 'completed'")
    backends = dict(await world.database.fetch("SELECT task_id, backend FROM taskgate.dispatch"))
    assert backends == {**dict.fromkeys(held, "redis"), **dict.fromkeys(behind, "temporal")}
    starts = Counter(line["task"] for line in read_effects(effects) if line["event"] == "start")
    assert set(starts.values()) == {1}


async def test_paused_tasks_leave_redis_and_are_held(world, queue):
    home = await world.people.household()
    tasks = await world.send(home, 12)
    await world.until_count(12, "state = 'queued' AND backend = 'redis'")
    body = {"tenant_id": home.tenant_id, "why": "a test"}
    pause = (await world.client(world.admin).post("/gateway/v1/pauses", json=body)).json()["pause_id"]
    await world.flag.set(Stage.RAMPDOWN, home.tenant_id)
    await world.until_count(12, f"state = 'waiting' AND held = 'paused:{pause}'")
    assert await queue.keys("queue:group:*") == []
    await world.client(world.admin).delete(f"/gateway/v1/pauses/{pause}")
    await world.until_count(12, "state = 'completed' AND backend = 'temporal'")
    assert {(await world.ended(task))["status"] for task in tasks} == {"COMPLETED"}


async def test_a_quota_holds_on_the_way(world, effects):
    """Two at a time, wherever they are: what moves gives its slot back, and waits for one."""
    home = await world.people.household()
    quota = {"running": 2, "why": "a test"}
    path = f"/gateway/v1/tenants/{home.tenant_id}/quotas"
    assert (await world.client(world.admin).put(path, json=quota)).status_code == 200
    await world.send(home, 12)
    await world.until_count(2, "state = 'queued' AND backend = 'redis'")
    await world.flag.set(Stage.RAMPDOWN, home.tenant_id)
    await world.until_count(12, "state = 'completed' AND backend = 'temporal'")
    running = most = 0
    for line in read_effects(effects):
        running += 1 if line["event"] == "start" else -1
        most = max(most, running)
    assert most <= 2


async def test_temporal_full_of_waiting_tasks_they_go_back(world, queue):
    """No worker of Temporal takes them; the stage goes back, and so do they, each once."""
    home = await world.people.household()
    tasks = await world.send(home, 12)
    await world.until_count(12, "state = 'queued' AND backend = 'redis'")
    for worker in world._workers:
        worker.stopping.set()
    await world._tasks[-1]
    await world.flag.set(Stage.RAMPDOWN, home.tenant_id)
    await world.until_count(12, "state = 'queued' AND backend = 'temporal'")
    assert await queue.keys("queue:group:*") == []
    await world.flag.set(Stage.OFF, home.tenant_id)
    await world.until_count(12, "state = 'queued' AND backend = 'redis'")
    assert sum([await queue.llen(key) for key in await queue.keys("queue:group:*")]) == 12
    assert await world.count("epoch = 3") == len(tasks)
    await eventually(
        lambda: world.database.fetchval("SELECT count(*) FROM taskgate.engine_duty"),
        lambda found: not found,
        within=PATIENCE,
    )
