"""A task with a unique key may have to wait for another transaction, and delays nobody meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from gateway.access.placement import Placement
from gateway.errors import UniqueKeyTaken
from gateway.storage.database import Database, type_Connection
from gateway.submission.deferring_dispatcher import DeferringDispatcher
from gateway.submission.intake import Intake
from gateway.submission.new_task import NewTask
from workers.testing.waiting import eventually

LOCK_WAITED_FOR = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock')"


def new_task(unique_key: str | None = None) -> NewTask:
    return NewTask(
        task_type="probe",
        group_id="g",
        payload={},
        placement=Placement("acme", None, "free"),
        user_id="ann",
        unique_key=unique_key,
    )


async def test_who_waits_for_a_unique_key_delays_nobody(database: Database) -> None:
    intake = Intake(database, DeferringDispatcher(database), max_attempts=3, idempotency_hours=1)
    is_written, may_commit = asyncio.Event(), asyncio.Event()

    async def hold(_: type_Connection) -> None:
        is_written.set()
        await may_commit.wait()

    first = asyncio.create_task(intake.submit([new_task("k")], after=hold))
    await is_written.wait()
    second = asyncio.create_task(intake.submit([new_task("k")]))
    await eventually(lambda: database.fetchval(LOCK_WAITED_FOR))
    async with asyncio.timeout(5):
        await intake.submit([new_task()])
    assert not second.done()
    may_commit.set()
    await first
    with pytest.raises(UniqueKeyTaken):
        await second
