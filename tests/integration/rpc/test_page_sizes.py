"""Lists whose rows can be large: a page stays below the 4 MB that clients accept, and the next one goes on after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from taskgate.v1 import (
    AuditFilter,
    AuditServiceStub,
    CreateScheduleRequest,
    ListAuditEntriesRequest,
    ListAuditEventsRequest,
    ListDeadLettersRequest,
    ListSchedulesRequest,
    NewTask,
    ScheduleDefinition,
    ScheduleSpec,
    SelectRequest,
    WatchSelectionRequest,
)

from gateway.audit.acts import Act, record

MEGABYTE = 2**20


async def pages(ask: Callable[[str], Awaitable[Any]], field: str) -> list[list[Any]]:
    """The items of each page."""
    found, token = [], ""
    while True:
        answer = await ask(token)
        found.append(list(getattr(answer, field)))
        if not found[-1] or not (token := answer.next_page_token):
            return found


async def test_tasks(face: Any) -> None:
    ids = [await face.submit() for _ in range(5)]
    await face.gateway.database.execute("UPDATE task_logs SET error_message = repeat('x', 1024 * 1024)")

    found = await pages(lambda token: face.tasks.Select(SelectRequest(page_token=token), metadata=face.ann), "tasks")

    assert [task.task_id for page in found for task in page] == ids[::-1]
    assert len(found) > 1


async def test_changes_of_tasks(face: Any) -> None:
    ids = [await face.submit() for _ in range(5)]
    await face.gateway.feed.wait_listening()
    call = face.tasks.WatchSelection(WatchSelectionRequest(), metadata=face.ann)
    async with asyncio.timeout(20):
        await call.read()
        await face.gateway.database.execute("UPDATE task_logs SET error_message = repeat('x', 1024 * 1024)")
        await face.gateway.database.fetch("SELECT pg_notify('taskgate_changes', task_id) FROM taskgate.dispatch")
        seen = set[str]()
        while seen != set(ids):
            seen |= {task.task_id for task in (await call.read()).tasks if task.error}
    call.cancel()


async def test_dead_letters(face: Any, letters: Any) -> None:
    ids = [await face.submit() for _ in range(5)]
    for task_id in ids:
        await face.fail(task_id, "x" * MEGABYTE)

    def ask(token: str) -> Any:
        return letters.ListDeadLetters(ListDeadLettersRequest(page_token=token), metadata=face.ann)

    found = await pages(ask, "dead_letters")
    assert [letter.id for page in found for letter in page] == ids[::-1]
    assert len(found) > 1


async def test_schedules(face: Any, schedules: Any) -> None:
    ids = []
    for _ in range(5):
        action = NewTask(task_type="probe")
        action.payload.update({"text": "x" * 900_000})
        definition = ScheduleDefinition(name="n", specs=[ScheduleSpec(cron="30 2 * * *")], action=action)
        made = await schedules.CreateSchedule(CreateScheduleRequest(definition=definition), metadata=face.ann)
        ids.append(made.schedule.schedule_id)

    def ask(token: str) -> Any:
        return schedules.ListSchedules(ListSchedulesRequest(page_token=token), metadata=face.ann)

    found = await pages(ask, "schedules")
    assert [schedule.schedule_id for page in found for schedule in page] == sorted(ids)
    assert len(found) > 1


async def test_audit(face: Any) -> None:
    audit = AuditServiceStub(face.channel)
    for n in range(5):
        async with face.gateway.database.transaction() as db:
            await record(db, Act("test", str(n), "root", after={"text": "x" * MEGABYTE}))
    which = AuditFilter(action="test")

    def entries(token: str) -> Any:
        return audit.ListAuditEntries(ListAuditEntriesRequest(filter=which, page_token=token), metadata=face.root)

    def events(token: str) -> Any:
        return audit.ListAuditEvents(ListAuditEventsRequest(filter=which, page_token=token), metadata=face.root)

    found = await pages(entries, "entries")
    assert [entry.subject for page in found for entry in page] == ["4", "3", "2", "1", "0"]
    found = await pages(events, "events")
    assert [event["subject"] for page in found for event in page] == ["0", "1", "2", "3", "4"]
