"""A pool that leaves: nothing goes back to a queue while one of its polls may still take it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import pytest
from temporalio.worker import SlotPermit, SlotReleaseContext, SlotReserveContext

from workers.temporal import pool as module
from workers.temporal.pool import TemporalWorkerPool
from workers.testing.scripted import ScriptedRunner
from workers.testing.waiting import until

CONTEXT = cast(SlotReserveContext, SimpleNamespace(task_queue="q"))
CUT_OFF, ENDED, GIVEN_BACK = "polls are cut off", "the last poll has ended", "tasks are given back"


class Server:
    """In the place of a `QueueServer`: notes when it is told to leave."""

    def __init__(self, order: list[str]) -> None:
        self._order = order
        self.polling = asyncio.Event()
        self.done = True

    def leave(self) -> None:
        if CUT_OFF not in self._order:
            self._order.append(CUT_OFF)

    async def wait(self) -> None:
        """Its tasks have ended."""


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    order: list[str] = []
    monkeypatch.setattr(module, "QueueServer", lambda *_: Server(order))
    return order


@pytest.fixture
def pool(order: list[str], monkeypatch: pytest.MonkeyPatch) -> TemporalWorkerPool:
    pool = TemporalWorkerPool(
        *("nowhere", "none"),
        runner=ScriptedRunner(),
        task_types=["x"],
        worker_id="w",
        slots=2,
        drain=timedelta(),
    )
    monkeypatch.setattr(pool._slots, "_quiet", 0.0)

    async def leave(grace: timedelta) -> None:
        order.append(GIVEN_BACK)

    monkeypatch.setattr(pool._activity, "leave", leave)
    return pool


def end(pool: TemporalWorkerPool, poll: SlotPermit) -> None:
    """It brought nothing."""
    pool._slots.release_slot(cast(SlotReleaseContext, SimpleNamespace(permit=poll)))


async def test_tasks_go_back_after_the_last_poll_has_ended(pool: TemporalWorkerPool, order: list[str]) -> None:
    polls = [await pool._slots.reserve_slot(CONTEXT) for _ in range(2)]
    leaving = asyncio.create_task(pool.run())
    pool.stop()
    await until(lambda: order)
    end(pool, polls[0])
    for _ in range(100):  # what is ready runs
        await asyncio.sleep(0)
    order.append(ENDED)
    end(pool, polls[1])
    await leaving
    assert order == [CUT_OFF, ENDED, GIVEN_BACK]


async def test_a_poll_that_does_not_end_holds_nothing_up_for_long(
    pool: TemporalWorkerPool, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporal does not answer: what goes back cannot be handed to it."""
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.01)
    await pool._slots.reserve_slot(CONTEXT)
    leaving = asyncio.create_task(pool.run())
    pool.stop()
    async with asyncio.timeout(10):
        await leaving
    assert order == [CUT_OFF, GIVEN_BACK]
