"""One task at a time per group, over all workers; indices that are built once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from workers.context import ContextFactory
from workers.graph.errors import GroupBusy
from workers.testing.waiting import until


async def test_the_lock_keeps_another_worker_out(bench: Any, rival: ContextFactory) -> None:
    order: list[str] = []
    inside = asyncio.Event()

    async def other() -> None:
        inside.set()
        async with rival.graph.client.driver.exclusive(bench.group_id):
            order.append("other")

    async with bench.driver.exclusive(bench.group_id):
        task = asyncio.create_task(other())
        await inside.wait()
        done, _ = await asyncio.wait([task], timeout=0.5)
        assert not done
        order.append("first")
    await task
    await rival.close()

    assert order == ["first", "other"]


async def test_tasks_of_one_worker_queue_up_in_order(bench: Any) -> None:
    order: list[int] = []

    async def take(number: int) -> None:
        async with bench.driver.exclusive(bench.group_id):
            order.append(number)

    async with bench.driver.exclusive(bench.group_id):
        tasks = [asyncio.create_task(take(number)) for number in range(5)]
        await asyncio.wait(tasks, timeout=0.1)
    await asyncio.gather(*tasks)

    assert order == [0, 1, 2, 3, 4]


async def test_the_lock_is_free_inside_itself(bench: Any) -> None:
    async with bench.driver.exclusive(bench.group_id), asyncio.timeout(5), bench.driver.exclusive(bench.group_id):
        pass


async def test_groups_do_not_wait_for_each_other(bench: Any) -> None:
    async with (
        bench.driver.exclusive(bench.group_id),
        asyncio.timeout(5),
        bench.driver.exclusive(f"{bench.group_id}-other"),
    ):
        pass


async def test_held_locks_leave_the_connections_to_queries(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many locks as queries may have connections: each task would wait for another one's lock."""
    monkeypatch.setattr(bench.driver.client._pool.pool_config, "max_connection_pool_size", 2)
    async with (
        bench.driver.exclusive(bench.group_id),
        asyncio.timeout(5),
        bench.driver.exclusive(f"{bench.group_id}-other"),
    ):
        assert (await bench.driver.execute_query("RETURN 1 AS one")).records[0]["one"] == 1


async def test_a_worker_that_dies_loses_its_locks(bench: Any, rival: ContextFactory) -> None:
    holding, never = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with rival.graph.client.driver.exclusive(bench.group_id):
            holding.set()
            await never.wait()

    task = asyncio.create_task(hold())
    await holding.wait()
    await rival.graph.client.driver.locks._driver.close()  # what the server sees of a process that is gone
    async with asyncio.timeout(10), bench.driver.exclusive(bench.group_id):
        pass
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_waiter_leaves_the_queue(bench: Any, rival: ContextFactory) -> None:
    async with bench.driver.exclusive(bench.group_id):
        waiting = [
            asyncio.create_task(_take(bench.driver, bench.group_id)),
            asyncio.create_task(_take(rival.graph.client.driver, bench.group_id)),
        ]
        await asyncio.wait(waiting, timeout=0.3)
        for task in waiting:
            task.cancel()
        assert await asyncio.gather(*waiting, return_exceptions=True) != [None, None]
    async with asyncio.timeout(5), bench.driver.exclusive(bench.group_id):
        pass
    await rival.close()


async def _take(driver: Any, group_id: str, seconds: float | None = None) -> None:
    async with driver.exclusive(group_id, seconds):
        pass


@asynccontextmanager
async def held(bench: Any) -> AsyncIterator[None]:
    """By another task of this worker: inside of one's own lock another is free."""
    inside, over = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with bench.driver.exclusive(bench.group_id):
            inside.set()
            await over.wait()

    holder = asyncio.create_task(hold())
    await inside.wait()
    yield
    over.set()
    await holder


async def test_who_does_not_wait_for_long_hears_that_the_group_is_busy(bench: Any, rival: ContextFactory) -> None:
    other = rival.graph.client.driver
    async with held(bench):
        for driver in (bench.driver, other):
            with pytest.raises(GroupBusy):
                await _take(driver, bench.group_id, 0.3)
    for driver in (bench.driver, other):
        await _take(driver, bench.group_id, 30.0)
    await rival.close()


async def test_of_those_only_one_waits(bench: Any) -> None:
    async with held(bench):
        waiting = asyncio.create_task(_take(bench.driver, bench.group_id, 60.0))
        await until(lambda: bench.driver.locks._waiting[bench.group_id] == 2)
        with pytest.raises(GroupBusy):
            await _take(bench.driver, bench.group_id, 60.0)
    await waiting


async def test_the_lock_leaves_nothing_in_the_graph(bench: Any) -> None:
    async with bench.driver.exclusive(bench.group_id):
        pass
    result = await bench.driver.execute_query("MATCH (n:TaskgateGroupLock) RETURN count(n) AS found")

    assert result.records[0]["found"] == 0


async def test_workers_that_begin_together_build_the_indices_together(bench: Any, rival: ContextFactory) -> None:
    """Whichever of them makes an index, none fails, and all are there."""
    await bench.driver.execute_query("DROP INDEX saga_name IF EXISTS")
    await bench.driver.execute_query("DROP INDEX next_episode_uuid IF EXISTS")
    drivers = [rival.graph.client.driver]
    others = [ContextFactory(rival.graph._settings, bench.database) for _ in range(3)]
    drivers += [other.graph.client.driver for other in others]
    await asyncio.gather(*[driver.ready() for driver in drivers])
    result = await bench.driver.execute_query("SHOW INDEXES YIELD name, state RETURN name, state")
    for contexts in [rival, *others]:
        await contexts.close()

    states = {record["name"]: record["state"] for record in result.records}
    assert states["saga_name"] == states["next_episode_uuid"] == "ONLINE"
