"""Whose a unique key is; a task with one may have to wait for another transaction, and delays nobody meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.access.placement import Placement
from gateway.errors import UniqueKeyTaken
from gateway.storage.database import Database, type_Connection
from gateway.submission.deferring_dispatcher import DeferringDispatcher
from gateway.submission.intake import Intake
from gateway.submission.new_task import NewTask
from gateway.submission.unique_keys import UniqueKeys
from gateway.tasks.lifecycle.transitions import Transitions
from workers.testing.waiting import eventually

LOCK_WAITED_FOR = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock')"


def new_task(unique_key: str | None = None, *, tenant: str | None = "acme", user: str | None = "ann") -> NewTask:
    return NewTask(
        task_type="probe",
        group_id="g",
        payload={},
        placement=Placement(tenant, None, "free"),
        user_id=user,
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


async def test_users_without_a_tenant_have_keys_of_their_own(database: Database) -> None:
    """A tenant's id may be a user's."""
    intake = Intake(database, DeferringDispatcher(database), max_attempts=3, idempotency_hours=1)
    anns, bobs = new_task("k", tenant=None), new_task("k", tenant=None, user="bob")
    nobodys, tenants = new_task("k", tenant=None, user=None), new_task("k", tenant="ann", user="bob")
    await intake.submit([anns, bobs, nobodys, tenants])
    for task in (anns, bobs, nobodys, tenants):
        place = task.placement.tenant_id
        again = new_task("k", tenant=place, user=task.user_id)
        assert (await UniqueKeys(database).find([again]))[0].task_id == task.task_id
        with pytest.raises(UniqueKeyTaken) as refused:
            await intake.submit([again])
        assert refused.value.task_id == task.task_id
        with pytest.raises(UniqueKeyTaken):
            await intake.submit([new_task("j", tenant=place, user=task.user_id) for _ in range(2)])
    taken: dict[int, str] = {}

    def answer(holders: Any, _: object) -> str:
        taken.update({index: holder.task_id for index, holder in holders.items()})
        return "{}"

    carols = [new_task("k", tenant=None, user="carol") for _ in range(2)]
    await intake.submit_each([*carols, new_task("k", tenant=None)], answer, None)
    assert taken == {1: carols[0].task_id, 2: anns.task_id}


async def test_a_retry_is_refused_for_its_own_users_key_alone(database: Database, transitions: Transitions) -> None:
    intake = Intake(database, DeferringDispatcher(database), max_attempts=3, idempotency_hours=1)
    first, second = new_task("k", tenant=None), new_task("k", tenant=None)
    await intake.submit([first])
    await database.execute("UPDATE taskgate.dispatch SET state = 'stopped'")
    await database.execute("UPDATE task_logs SET status = 'STOPPED', completed_at = now()")
    await intake.submit([second])
    await intake.submit([new_task("k", tenant=None, user="bob")])
    with pytest.raises(UniqueKeyTaken) as refused:
        await transitions.retry(first.task_id)
    assert refused.value.task_id == second.task_id
    await database.execute("UPDATE taskgate.dispatch SET state = 'completed' WHERE task_id = $1", second.task_id)
    await transitions.retry(first.task_id)
