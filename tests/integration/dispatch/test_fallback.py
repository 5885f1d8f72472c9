"""A backend that is down for longer than the setting: its tasks move when it is certain that they never started."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from backends.port import WorkflowRef
from contracts.flag import Flag
from contracts.world import Servers
from gateway.access.placement import Placement
from gateway.bootstrap import Gateway, build_gateway
from gateway.routing.stages import Stage
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.submission.new_task import NewTask
from workers.testing.proxy import FaultyProxy
from workers.testing.waiting import eventually, until

FALLBACK_SECONDS = 0.4
#: Between two looks at what waits for a backend that is down: still longer than the setting.
DOWN_SECONDS = 0.6
STAGES = {"redis": Stage.OFF, "temporal": Stage.LIVE}


@dataclass
class TwoBackends:
    """A gateway whose backends can be taken away; tenants `redis` and `temporal` are at the stages of those names."""

    gateway: Gateway
    proxies: dict[str, FaultyProxy]
    flag: Flag
    database: Database
    redis: Redis

    async def submit(self, tenant: str, task_id: str = "") -> str:
        task_id = task_id or secrets.token_hex(8)
        task = NewTask(
            task_type="probe",
            group_id=f"g-{task_id}",
            payload={},
            placement=Placement(tenant, None, None),
            user_id="u",
            task_id=task_id,
        )
        await self.gateway.intake.submit([task])
        return task_id

    async def take_away(self, backend: str) -> None:
        """Cut it off, and have the gateway find out: by a start whose own fate is then uncertain, so that it stays."""
        await self.proxies[backend].refuse()
        await self.submit(backend)
        await until(lambda: self.gateway.dispatcher.is_down(backend))

    async def give_back(self, backend: str) -> None:
        await self.proxies[backend].restore()
        await until(lambda: not self.gateway.dispatcher.is_down(backend))

    async def row(self, task_id: str) -> asyncpg.Record:
        row = await self.database.fetchrow("SELECT * FROM taskgate.dispatch WHERE task_id = $1", task_id)
        assert row is not None
        return row

    async def becomes(self, task_id: str, state: str, backend: str | None, epoch: int | None = None) -> None:
        """Wait for it."""

        async def read() -> tuple[Any, ...]:
            row = await self.row(task_id)
            return (row["state"], row["backend"], row["epoch"])

        await eventually(read, lambda seen: seen[:2] == (state, backend) and epoch in (None, seen[2]))

    async def payloads_in_redis(self, task_id: str) -> int:
        return int(await self.redis.llen(f"queue:group:g-{task_id}"))


@pytest_asyncio.fixture
async def two(
    servers: Servers, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TwoBackends]:
    for module in ("dispatcher", "open_starts"):
        monkeypatch.setattr(f"gateway.dispatch.{module}.DOWN_SECONDS", DOWN_SECONDS)
    proxies, redis_url = {}, str(servers.redis_url)
    for name, address in (("redis", redis_url), ("temporal", f"//{servers.temporal_address}")):
        parts = urlsplit(address)
        proxies[name] = FaultyProxy(parts.hostname or "", parts.port or 0)
        await proxies[name].open()
    flag = Flag(tmp_path / "flags.json")
    for tenant, stage in STAGES.items():
        flag.write(stage, tenant)
    flag.write(Stage.COMPLETE, "moved")
    gateway = build_gateway(
        Settings(
            database_url=servers.database_url,
            redis_url=f"redis://127.0.0.1:{proxies['redis'].port}/0",
            temporal_address=f"127.0.0.1:{proxies['temporal'].port}",
            temporal_namespace=servers.temporal_namespace,
            flags_file=flag.path,
            fallback_seconds=FALLBACK_SECONDS,
            start_timeout_seconds=1.0,
            grpc_enabled=False,
        )
    )
    await gateway.start()
    async with Redis.from_url(redis_url) as redis:
        await redis.flushall()
        two = TwoBackends(gateway, proxies, flag, database, redis)
        # A first task of each backend: connections are open, and the lanes know that they work.
        for tenant in STAGES:
            await two.becomes(await two.submit(tenant), "queued", tenant)
        yield two
    await gateway.close()
    for proxy in proxies.values():
        await proxy.close()


@pytest.mark.parametrize(("down", "other"), [("redis", "temporal"), ("temporal", "redis")])
async def test_a_task_that_waits_for_a_backend_that_is_down_moves_to_the_other(
    two: TwoBackends, down: str, other: str
) -> None:
    await two.take_away(down)
    task = await two.submit(down)
    await two.becomes(task, "queued", other)
    await two.give_back(down)
    await two.becomes(await two.submit(down), "queued", down)
    assert (await two.row(task))["backend"] == other
    if down == "redis":
        assert await two.payloads_in_redis(task) == 0


async def test_at_complete_it_waits_however_long(two: TwoBackends) -> None:
    await two.take_away("temporal")
    stays = await two.submit("moved")
    # A tenant whose stage allows it moves in the same outage, so the time was up for both.
    await two.becomes(await two.submit("temporal"), "queued", "redis")
    row = await two.row(stays)
    assert row["state"] in ("waiting", "starting")
    assert row["backend"] in (None, "temporal")
    assert await two.payloads_in_redis(stays) == 0
    await two.give_back("temporal")
    await two.becomes(stays, "queued", "temporal")


async def test_what_legacy_workers_may_have_taken_stays(two: TwoBackends) -> None:
    task = await two.submit("redis")
    await two.becomes(task, "queued", "redis")
    await two.take_away("redis")
    await two.becomes(await two.submit("redis"), "queued", "temporal")
    row = await two.row(task)
    assert (row["state"], row["backend"], row["epoch"]) == ("queued", "redis", 1)
    assert await two.payloads_in_redis(task) == 1


async def test_a_start_whose_answer_was_lost_stays(two: TwoBackends) -> None:
    two.proxies["redis"].swallow_answers()
    task = await two.submit("redis")
    await two.becomes(task, "starting", "redis", epoch=1)
    await eventually(lambda: two.payloads_in_redis(task))
    # It has arrived, and nobody knows. Now the backend is gone for longer than the setting.
    await two.take_away("redis")
    await two.becomes(await two.submit("redis"), "queued", "temporal")
    assert (await two.row(task))["backend"] == "redis"
    await two.give_back("redis")
    await two.becomes(task, "queued", "redis", epoch=1)
    assert await two.payloads_in_redis(task) == 1


async def test_what_nobody_claimed_on_temporal_moves_and_can_no_longer_start_there(two: TwoBackends) -> None:
    task = await two.submit("temporal")
    await two.becomes(task, "queued", "temporal", epoch=1)
    await two.take_away("temporal")
    await two.becomes(task, "queued", "redis", epoch=2)
    await two.database.execute(
        "INSERT INTO taskgate.process (process_id, kind, host, pid, version, lock_key)"
        " VALUES ('w', 'worker', 'elsewhere', 1, '0', 1)"
    )
    assert await two.gateway.transitions.claim(task, "temporal", 1, "w", with_payload=False) is None
    await two.give_back("temporal")
    ref = WorkflowRef(task, 1, f"g-{task}", "probe")
    await eventually(
        lambda: two.gateway.engines["temporal"].get_workflow_status(ref),
        lambda found: found is not None and found.state.is_terminal,
        within=30,
    )
    assert (await two.row(task))["backend"] == "redis"
    assert await two.payloads_in_redis(task) == 1


async def test_a_stop_that_redis_was_not_told_of_is_waited_for_though_another_came_after_it(two: TwoBackends) -> None:
    """Stopped on Redis, which is away; then on Temporal, which is not yet told either; and tried again."""
    task = await two.submit("redis")
    await two.becomes(task, "queued", "redis")
    await two.take_away("redis")
    two.flag.write(Stage.LIVE, "redis")
    stopped = (
        "UPDATE taskgate.dispatch SET state = 'stopped', epoch = $2, cancel_epoch = $2, cancel_backend = $3"
        " WHERE task_id = $1"
    )
    async with two.database.transaction() as db:
        await db.execute(stopped, task, 1, "redis")
        await db.execute(stopped, task, 2, "temporal")
        await db.execute(
            "UPDATE taskgate.engine_duty SET due_at = now() + interval '1 hour'"
            " WHERE subject = $1 AND backend = 'temporal'",
            task,
        )
    await two.database.execute(
        "UPDATE taskgate.dispatch SET state = 'waiting', backend = NULL, due_at = now() WHERE task_id = $1", task
    )
    two.gateway.dispatcher.wake()
    await two.becomes(task, "waiting", "temporal", 2)
    assert await two.payloads_in_redis(task) == 1
    await two.give_back("redis")
    await two.becomes(task, "queued", "temporal", 3)
    assert await two.payloads_in_redis(task) == 0
