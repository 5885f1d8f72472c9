"""A database that was restored without `taskgate recover` is noticed, by what Redis remembers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contracts.restoring import back_up, restored_database
from contracts.world import Servers, World
from gateway.recovery.mark import BEHIND, Mark
from gateway.storage.database import Database
from workers.testing.waiting import eventually


@pytest.fixture
async def mark(database: Database, redis_engine: Any) -> Mark:
    return Mark(database, redis_engine)


async def test_a_database_of_its_own_time_is_not_behind(database: Database, mark: Mark) -> None:
    assert not await mark.is_behind()
    for _ in range(3):
        await mark.tick()
    assert not await mark.is_behind()
    assert await mark.remembered() == 3


async def test_a_redis_that_forgot_or_is_older_says_nothing(database: Database, mark: Mark, queue: Any) -> None:
    await mark.tick()
    await mark.tick()
    await queue.flushall()
    assert not await mark.is_behind()
    await mark.tick()
    assert not await mark.is_behind()


async def test_two_leaders_that_advance_it_at_once_are_not_behind(
    database: Database, mark: Mark, redis_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one stalls between both writes, and finds a higher number in Redis."""
    other = Mark(database, redis_engine)
    remember = redis_engine.remember_mark

    async def stall(*words: Any) -> int:
        monkeypatch.setattr(redis_engine, "remember_mark", remember)
        await other.tick()
        return int(await remember(*words))

    monkeypatch.setattr(redis_engine, "remember_mark", stall)
    await mark.tick()
    assert not await mark.is_behind()


async def test_another_database_with_the_same_redis_is_another_matter(
    mark: Mark, databases: Any, redis_engine: Any
) -> None:
    await mark.tick()
    async with databases.one() as url:
        database = Database(url)
        assert not await Mark(database, redis_engine).is_behind()
        await database.close()


async def test_a_gateway_refuses_to_start_until_it_is_recovered(
    queue: Any, fresh_servers: Servers, redis_engine: Any, tmp_path: Path
) -> None:
    database = Database(fresh_servers.database_url, size=2)
    mark = Mark(database, redis_engine)
    await mark.tick()
    await back_up(fresh_servers, tmp_path / "backup")
    await mark.tick()
    await database.close()
    async with restored_database(fresh_servers, tmp_path / "backup") as restored:
        for command in (["serve"], ["worker", "--backend", "redis"]):
            process = await restored.program(*command)
            _, said = await process.communicate()
            assert process.returncode == 1
            assert said.decode().strip().splitlines() == [f"taskgate: {BEHIND}"]
        await restored.recover()
        copy = Database(restored.servers.database_url, size=2)
        assert not await Mark(copy, redis_engine).is_behind()
        await Mark(copy, redis_engine).tick()
        assert not await Mark(copy, redis_engine).is_behind()
        await copy.close()


async def test_a_leader_that_could_not_ask_at_its_start_says_so(
    queue: Any, fresh_servers: Servers, redis_engine: Any, tmp_path: Path
) -> None:
    database = Database(fresh_servers.database_url, size=2)
    mark = Mark(database, redis_engine)
    await mark.tick()
    number = await database.fetchval("UPDATE taskgate.mark SET number = number - 1 RETURNING number")
    await redis_engine.remember_mark(
        await database.fetchval("SELECT database_id::text FROM taskgate.mark"), number + 10
    )
    async with World("off", fresh_servers, tmp_path).running() as world:

        async def problems() -> list[str]:
            return list((await world.client().get("/gateway/v1/ready")).json()["problems"])

        await eventually(problems, lambda found: BEHIND in found)
    # It does not catch up by itself.
    before = await database.fetchval("SELECT number FROM taskgate.mark")
    await mark.tick()
    assert await database.fetchval("SELECT number FROM taskgate.mark") == before
    assert await mark.is_behind()
    await database.close()
