"""The change feed: nothing is missed, few queries are asked, whoever leaves is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.access.placement import Caller
from gateway.errors import DatabaseUnavailable, ShuttingDown, TaskNotFound
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from gateway.tasks.changes.feed import ChangeFeed
from gateway.tasks.changes.notifier import Notifier
from gateway.tasks.changes.subscription import Subscription, SubscriptionEnded
from gateway.tasks.queries.task_log import TaskLog
from gateway.tasks.queries.task_row import TaskRow

#: A sweep that never comes, for tests of what is announced.
NEVER = 3600.0
PATIENCE = 20.0


class CountingLog(TaskLog):
    """Counts its queries, and can be away."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.reads = 0
        self.away = False

    async def read(self, task_ids: Iterable[str]) -> dict[str, TaskRow]:
        self.reads += 1
        if self.away:
            raise DatabaseUnavailable(retry_after=2)
        return await super().read(task_ids)


@pytest.fixture
def log(database: Database) -> CountingLog:
    return CountingLog(database)


@pytest.fixture
async def notifier(database: Database) -> AsyncIterator[Notifier]:
    notifier = Notifier(database)
    yield notifier
    await notifier.close()


@pytest.fixture
def running(database: Database, log: CountingLog) -> Callable[..., Any]:
    """Runs a feed that listens."""

    @asynccontextmanager
    async def run(sweep: float = NEVER) -> AsyncIterator[ChangeFeed]:
        listener = Listener(database)
        feed = ChangeFeed(listener, log, sweep_seconds=sweep)
        await feed.start()
        try:
            await asyncio.wait_for(feed.wait_listening(), PATIENCE)
            yield feed
        finally:
            await feed.close()
            await listener.close()

    return run


@pytest.fixture
def write(database: Database, notifier: Notifier) -> Callable[..., Any]:
    """Changes a row, and says so unless told otherwise."""

    async def write(task_id: str, *, silently: bool = False, **columns: Any) -> None:
        assignments = ", ".join(f"{name} = ${n}" for n, name in enumerate(columns, 2))
        await database.execute(f"UPDATE task_logs SET {assignments} WHERE id = $1", task_id, *columns.values())
        if not silently:
            notifier.changed(task_id)

    return write


async def get(changes: Subscription) -> TaskRow:
    return await changes.get(PATIENCE)


async def test_the_present_state_comes_first_then_each_change(tasks: Any, running: Any, write: Any) -> None:
    task_id = await tasks.add(status="PROCESSING", worker_id="w")
    async with running() as feed, feed.subscribe(task_id) as changes:
        assert (await get(changes)).progress == 0
        for progress in (10, 20, 100):
            await write(task_id, progress=progress)
            assert (await get(changes)).progress == progress
        await write(task_id, status="COMPLETED")
        assert (await get(changes)).is_finished


async def test_a_change_between_subscribing_and_reading_is_not_lost(tasks: Any, running: Any, write: Any) -> None:
    task_id = await tasks.add(status="PROCESSING")
    async with running() as feed, feed.subscribe(task_id) as changes:
        await write(task_id, progress=50)
        while (await get(changes)).progress != 50:
            pass


async def test_a_slow_reader_finds_only_the_latest(tasks: Any, running: Any, write: Any, notifier: Notifier) -> None:
    task_id, witness = await tasks.add(status="PROCESSING"), await tasks.add(status="PROCESSING")
    async with running() as feed, feed.subscribe(task_id) as slow, feed.subscribe(witness) as quick:
        await get(slow)
        await get(quick)
        for progress in range(1, 100):
            await write(task_id, progress=progress)
        await write(witness, progress=1)
        await get(quick)
        assert (await get(slow)).progress == 99
        with pytest.raises(TimeoutError):
            await slow.get(0.01)


async def test_many_streams_cost_few_queries(
    tasks: Any, running: Any, write: Any, log: CountingLog, notifier: Notifier
) -> None:
    """A thousand subscriptions to twenty tasks, and a burst of changes of each."""
    ids = [await tasks.add(status="PROCESSING") for _ in range(20)]
    async with running() as feed:
        subscriptions = [feed.subscribe(ids[n % 20]).open() for n in range(1000)]
        await asyncio.gather(*map(get, subscriptions))
        assert log.reads <= 3
        assert (feed.watched, feed.subscriptions) == (20, 1000)
        before = log.reads
        for task_id in ids:
            await write(task_id, silently=True, progress=7)
        for task_id in ids:
            notifier.changed(task_id)
        rows = await asyncio.gather(*map(get, subscriptions))
        assert {row.progress for row in rows} == {7}
        assert log.reads - before <= 3
        for subscription in subscriptions:
            subscription.close()
        assert (feed.watched, feed.subscriptions) == (0, 0)


async def test_changes_of_tasks_that_nobody_watches_are_not_read(
    tasks: Any, running: Any, write: Any, log: CountingLog, notifier: Notifier
) -> None:
    ids = [await tasks.add(status="PROCESSING") for _ in range(5)]
    async with running() as feed, feed.subscribe(ids[0]) as changes:
        await get(changes)
        before = log.reads
        for task_id in ids[1:]:
            await write(task_id, progress=3)
        await notifier.flush()
        await write(ids[0], progress=1)
        await get(changes)
        assert log.reads == before + 1


async def test_the_sweep_finds_what_nobody_announced(tasks: Any, running: Any, write: Any) -> None:
    """Unmodified legacy workers write without a word."""
    task_id = await tasks.add(status="PROCESSING")
    async with running(sweep=0.02) as feed, feed.subscribe(task_id) as changes:
        await get(changes)
        await write(task_id, silently=True, worker_id="legacy-1", progress=10)
        assert (await get(changes)).progress == 10
        await write(task_id, silently=True, status="COMPLETED", progress=100)
        # A sweep that began before the last change was told may tell that once more.
        while (row := await get(changes)).progress == 10:
            pass
        assert row.status == "COMPLETED"


async def test_the_sweep_is_silent_when_nothing_changed(tasks: Any, running: Any, log: CountingLog) -> None:
    task_id = await tasks.add(status="PROCESSING")
    async with running(sweep=0.01) as feed, feed.subscribe(task_id) as changes:
        await get(changes)
        with pytest.raises(TimeoutError):
            await changes.get(0.1)
        assert log.reads == 1


async def test_an_unknown_task_and_one_that_disappears(
    tasks: Any, running: Any, database: Database, notifier: Notifier
) -> None:
    task_id = await tasks.add(status="PROCESSING")
    async with running() as feed, feed.subscribe("unknown") as unknown, feed.subscribe(task_id) as changes:
        with pytest.raises(TaskNotFound):
            await get(unknown)
        await get(changes)
        await database.execute("DELETE FROM task_logs WHERE id = $1", task_id)
        notifier.changed(task_id)
        with pytest.raises(TaskNotFound):
            await get(changes)


@pytest.mark.parametrize("task_id", ["nul\x00", "\ud800", "with,comma", "x" * 9000])
async def test_odd_ids_are_unknown_and_disturb_nobody(tasks: Any, running: Any, write: Any, task_id: str) -> None:
    known = await tasks.add(status="PROCESSING")
    async with running() as feed, feed.subscribe(task_id) as odd, feed.subscribe(known) as changes:
        with pytest.raises(TaskNotFound):
            await get(odd)
        await get(changes)
        await write(known, progress=1)
        assert (await get(changes)).progress == 1


async def test_a_lost_connection_is_replaced_and_nothing_is_missed(
    tasks: Any, running: Any, write: Any, database: Database
) -> None:
    """The change happens while nobody listens; no sweep would find it."""
    task_id = await tasks.add(status="PROCESSING")
    async with running() as feed, feed.subscribe(task_id) as changes:
        await get(changes)
        for progress in (1, 2):
            ended = await database.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
            assert ended == 1
            await write(task_id, silently=True, progress=progress)
            while (await get(changes)).progress != progress:
                pass
            await asyncio.wait_for(feed.wait_listening(), PATIENCE)


async def test_postgresql_away(tasks: Any, running: Any, write: Any, log: CountingLog) -> None:
    """New subscriptions are told at once; those that have seen their task wait, and go on."""
    task_id = await tasks.add(status="PROCESSING")
    async with running() as feed, feed.subscribe(task_id) as old:
        await get(old)
        log.away = True
        async with feed.subscribe(task_id) as new:
            with pytest.raises(DatabaseUnavailable):
                await get(new)
        await write(task_id, progress=5)
        log.away = False
        assert (await get(old)).progress == 5


async def test_ending_streams_wakes_every_reader(tasks: Any, running: Any) -> None:
    task_id = await tasks.add(status="PROCESSING")
    async with running() as feed, feed.subscribe(task_id) as changes:
        await get(changes)
        reading = asyncio.ensure_future(anext(changes))
        waiting = asyncio.ensure_future(feed.wait_terminal(task_id))
        await asyncio.sleep(0)
        feed.end_streams()
        with pytest.raises(StopAsyncIteration):
            await reading
        with pytest.raises(ShuttingDown):
            await waiting
        with pytest.raises(SubscriptionEnded):
            await feed.subscribe(task_id).open().get()
        assert feed.subscriptions == 0


async def test_waiting_for_the_end(tasks: Any, running: Any, write: Any) -> None:
    task_id = await tasks.add(status="PROCESSING")
    async with running() as feed:
        with pytest.raises(TimeoutError):
            await feed.wait_terminal(task_id, timeout=0.05)
        assert feed.subscriptions == 0
        waiting = asyncio.ensure_future(feed.wait_terminal(task_id, timeout=PATIENCE))
        await write(task_id, progress=50)
        await write(task_id, status="FAILED", error_message="boom")
        assert (await waiting).error_message == "boom"
        assert (await feed.wait_terminal(task_id, timeout=PATIENCE)).status == "FAILED"
        with pytest.raises(TaskNotFound):
            await feed.wait_terminal("unknown", timeout=PATIENCE)


async def test_closing_stops_every_loop(tasks: Any, running: Any, admin: Caller) -> None:
    others = asyncio.all_tasks()
    task_id = await tasks.add(status="PROCESSING")
    async with running() as feed, feed.subscribe(task_id) as changes:
        await get(changes)
    assert not [task for task in asyncio.all_tasks() - others if task.get_name().startswith("feed-")]
