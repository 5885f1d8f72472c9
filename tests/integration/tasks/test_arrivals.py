"""What lists alone show is told to those who follow lists, and costs nothing while there are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.storage.database import Database
from gateway.storage.gathering import Gathered
from gateway.storage.listener import Listener
from gateway.tasks.changes.any_task import AnyTaskWatch
from gateway.tasks.changes.arrivals import ARRIVALS_CHANNEL, BELIEVED_SECONDS, Arrivals
from gateway.tasks.changes.notifier import CHANGES_CHANNEL
from workers.testing.waiting import eventually


class Process:
    """One of several that share a database; its clock stands still until a test moves it."""

    def __init__(self, database: Database) -> None:
        self.now = 1000.0
        self.listener = Listener(database)
        self.arrivals = Arrivals(database, self.listener, say_seconds=0.05, clock=lambda: self.now)
        self.watch = AnyTaskWatch(self.listener, self.arrivals)

    def forget(self) -> None:
        """So much time passes that nobody is believed to follow a list any more."""
        self.now += BELIEVED_SECONDS + 1


@asynccontextmanager
async def running(database: Database) -> AsyncIterator[Process]:
    process = Process(database)
    process.listener.start()
    await process.listener.wait_listening()
    saying = asyncio.create_task(process.arrivals.run())
    try:
        yield process
    finally:
        saying.cancel()
        await asyncio.gather(saying, return_exceptions=True)
        await process.arrivals.close()
        await process.listener.close()


@pytest.fixture
async def here(database: Database) -> AsyncIterator[Process]:
    async with running(database) as process:
        yield process


@pytest.fixture
async def there(database: Database) -> AsyncIterator[Process]:
    async with running(database) as process:
        yield process


@pytest.fixture
async def heard(database: Database) -> AsyncIterator[list[tuple[str, str]]]:
    """Every announcement of tasks, whoever it is for."""
    found: list[tuple[str, str]] = []
    connection = await database.connect()
    for channel in (CHANGES_CHANNEL, ARRIVALS_CHANNEL, "end"):
        await connection.add_listener(channel, lambda _c, _p, name, payload: found.append((name, str(payload))))
    yield found
    await connection.close()


async def all_of(heard: list[tuple[str, str]], database: Database) -> list[tuple[str, str]]:
    """What was heard until now."""
    await database.execute("SELECT pg_notify('end', '')")

    async def look() -> bool:
        return ("end", "") in heard

    await eventually(look, bool)
    return [one for one in heard if one[0] != "end"]


async def ids_of(changed: Gathered[str] | None) -> list[str]:
    assert changed is not None
    assert not changed.missed
    return changed.items


async def test_nothing_is_told_while_nobody_follows_a_list(
    here: Process, heard: list[tuple[str, str]], database: Database
) -> None:
    here.forget()
    assert not here.arrivals.has_audience
    here.arrivals.tell("t1")
    await here.arrivals.flush()
    assert await all_of(heard, database) == []


async def test_it_is_told_to_who_follows_a_list_in_the_same_process(
    here: Process, heard: list[tuple[str, str]], database: Database
) -> None:
    here.forget()
    subscription = here.watch.subscribe().open()
    here.arrivals.tell("t1")
    assert await ids_of(await subscription.changes(20)) == ["t1"]
    subscription.close()
    here.arrivals.tell("t2")
    await here.arrivals.flush()
    assert await all_of(heard, database) == [(ARRIVALS_CHANNEL, "t1")]


async def test_it_is_told_to_who_follows_a_list_elsewhere_and_for_a_while_after(here: Process, there: Process) -> None:
    here.forget()
    subscription = there.watch.subscribe().open()

    async def has_audience() -> bool:
        return here.arrivals.has_audience

    assert await eventually(has_audience, bool)
    here.arrivals.tell("t1")
    assert await ids_of(await subscription.changes(20)) == ["t1"]
    subscription.close()
    assert here.arrivals.has_audience
    here.forget()
    assert not here.arrivals.has_audience


async def test_who_is_heard_late_is_told_that_something_was_missed(here: Process, there: Process) -> None:
    here.forget()
    here.arrivals.tell("t1")  # after they have read their list, and before they are heard
    subscription = there.watch.subscribe().open()
    assert await subscription.changes(20) == Gathered([], missed=True)


async def test_what_was_kept_long_before_is_in_their_list(here: Process, there: Process) -> None:
    here.forget()
    here.arrivals.tell("t1")
    here.forget()
    subscription = there.watch.subscribe().open()

    async def has_audience() -> bool:
        return here.arrivals.has_audience

    assert await eventually(has_audience, bool)
    here.arrivals.tell("t2")
    assert await ids_of(await subscription.changes(20)) == ["t2"]


async def test_who_cannot_hear_tells_everything(database: Database, heard: list[tuple[str, str]]) -> None:
    deaf = Arrivals(database, None)
    deaf.tell("t1")
    unconnected = Arrivals(database, Listener(database))
    unconnected.tell("t2")
    await deaf.close()
    await unconnected.close()
    assert sorted(await all_of(heard, database)) == [(ARRIVALS_CHANNEL, "t1"), (ARRIVALS_CHANNEL, "t2")]
