"""What the engines know of starts, asked while no gateway and no worker runs."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from backends.errors import EngineUnavailable
from backends.port import WorkflowRef, WorkflowState, WorkflowStatus, possible_starts
from backends.redis_queue import wire
from backends.redis_queue.engine import RedisQueueEngine
from backends.redis_queue.inventory import KEEP_ENDED
from backends.temporal.engine import TemporalEngine
from gateway.recovery.restored.verdicts import Start, Unfinished
from gateway.routing.stages import REDIS, TEMPORAL
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.recovery.restored", "restored.sql")

#: Ends from so long before the last write are asked for as well: clocks differ, and indexes lag behind.
BEFORE = timedelta(minutes=10)
#: How long an engine is asked again that cannot answer now (seconds).
PATIENCE = 20.0
P = ParamSpec("P")
Answer = TypeVar("Answer")
_PAGE = 5000
#: How a run of a DAG ended, if it is not completed, by what its workflow returns.
_OUTCOMES = {"failed": WorkflowState.FAILED, "over": WorkflowState.CANCELLED}
_ASKED_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Remembered:
    """A start as its engine names it."""

    workflow_id: str
    backend: str
    state: WorkflowState | None
    error: str = ""


@dataclass(slots=True)
class Evidence:
    """`highest` is the highest epoch that any engine named; `forgetful` as in `verdicts.judge`."""

    remembered: list[Remembered] = field(default_factory=list)
    highest: int = 0
    forgetful: str | None = None

    def note(self, one: Remembered) -> None:
        self.remembered.append(one)
        self.highest = max(self.highest, *(epoch for _, epoch in possible_starts(one.workflow_id)), 0)


class Witnesses:
    """The engines that are configured. Methods raise `EngineUnavailable` or `EngineError`."""

    def __init__(self, database: Database, redis: RedisQueueEngine | None, temporal: TemporalEngine | None) -> None:
        self._db = database
        self._redis = redis
        self._temporal = temporal

    async def ask(self, last_write: datetime, now: datetime) -> Evidence:
        """Everything that engines remember of the time since `last_write`, and of what is open."""
        evidence = Evidence()
        if self._redis is not None:
            async for marker in self._redis.inventory.markers():
                state = WorkflowState(marker.state) if marker.state else None
                evidence.note(Remembered(marker.workflow_id, REDIS, state, marker.error))
            async for found in self._redis.inventory.payloads():
                try:
                    message = wire.decode(found.payload)
                except wire.NotATask:
                    continue
                evidence.highest = max(evidence.highest, message.epoch or 0)
        if self._temporal is not None:
            for ended in await _patiently(self._temporal.list_ended, last_write - BEFORE):
                evidence.note(Remembered(ended.workflow_id, TEMPORAL, ended.status.state))
            for workflow_id in await _patiently(self._temporal.list_open):
                evidence.note(Remembered(workflow_id, TEMPORAL, WorkflowState.RUNNING))
        evidence.forgetful = await self._forgetful(now - last_write)
        return evidence

    async def starts(self, evidence: Evidence) -> dict[str, list[Start]]:
        """By task: an id of a start may be read in two ways, and that of a task that PostgreSQL knows is preferred."""
        found: dict[str, list[Start]] = defaultdict(list)
        for first in range(0, len(evidence.remembered), _PAGE):
            page = evidence.remembered[first : first + _PAGE]
            names = {task for one in page for task, _ in possible_starts(one.workflow_id)}
            known = {row["task_id"] for row in await self._db.fetch(SQL.known, list(names))}
            for one in page:
                if (start := _start(one, known)) is not None:
                    found[start.task_id].append(start)
        return found

    async def ask_directly(
        self, tasks: Sequence[tuple[Unfinished, str, str]], starts: dict[str, list[Start]]
    ) -> dict[str, list[Start]]:
        """What Temporal itself, not its index, says of these (task, group, type): the start that the restored row
        names, those of the index, and the one that would have come next.
        """
        if self._temporal is None:
            return {}
        temporal, limit = self._temporal, asyncio.Semaphore(_ASKED_AT_ONCE)

        async def ask(task: Unfinished, group: str, task_type: str) -> list[Start]:
            epochs = {start.epoch for start in starts.get(task.task_id, ()) if start.backend == TEMPORAL}
            epochs |= {task.epoch, task.epoch + 1}
            answers = []
            for epoch in sorted(epoch for epoch in epochs if epoch > 0):
                ref = WorkflowRef(task.task_id, epoch, group, task_type)
                async with limit:
                    status = await _patiently(temporal.get_workflow_status, ref)
                    if status is not None and status.state is WorkflowState.COMPLETED and task.is_run:
                        status = await _patiently(self._end_of_run, ref)
                if status is not None:
                    begun = status.state is not WorkflowState.QUEUED or status.attempt > 1
                    answers.append(Start(task.task_id, epoch, TEMPORAL, status.state, status.error or "", begun))
            return answers

        told = await asyncio.gather(*(ask(*task) for task in tasks))
        return {task.task_id: answers for (task, _, _), answers in zip(tasks, told, strict=True)}

    async def _end_of_run(self, ref: WorkflowRef) -> WorkflowStatus:
        """A workflow that is completed may say that its run failed, or was stopped or started again."""
        assert self._temporal is not None
        end = await self._temporal.get_workflow_result(ref)
        told = end if isinstance(end, dict) else {}
        return WorkflowStatus(_OUTCOMES.get(told.get("outcome", ""), WorkflowState.COMPLETED), told.get("error"))

    async def _forgetful(self, gap: timedelta) -> str | None:
        if self._redis is not None:
            if gap > KEEP_ENDED:
                return "the gap is longer than redis remembers"
            noted = await self._db.fetchval(SQL.incarnation, REDIS)
            if noted is not None and noted != await self._redis.get_incarnation():
                return "redis was restarted or emptied in the gap, and may have forgotten it"
        if self._temporal is not None:
            retention = await _patiently(self._temporal.retention)
            if gap + BEFORE > retention:
                return "the gap is longer than temporal remembers"
            noted = await self._db.fetchval(SQL.incarnation, TEMPORAL)
            if noted is not None and noted != await _patiently(self._temporal.get_incarnation):
                return "temporal has another namespace than before the gap"
        return None


async def _patiently(ask: Callable[P, Awaitable[Answer]], *args: P.args, **more: P.kwargs) -> Answer:
    """Ask again for a while: Temporal refuses more than some lists in a second."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(EngineUnavailable),
        wait=wait_random_exponential(multiplier=0.2, max=2),
        stop=stop_after_delay(PATIENCE),
        reraise=True,
    ):
        with attempt:
            answer = await ask(*args, **more)
    return answer


def _start(one: Remembered, known: Iterable[str]) -> Start | None:
    readings = possible_starts(one.workflow_id)
    if not readings:
        return None
    task_id, epoch = next((r for r in readings if r[0] in known), None) or next(
        (r for r in readings if _is_uuid(r[0])), readings[0]
    )
    return Start(task_id, epoch, one.backend, one.state, one.error)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
