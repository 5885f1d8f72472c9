"""The one way in: a task is accepted when its row and its dispatch row are committed together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_delay, wait_fixed

from gateway.errors import DatabaseUnavailable, NothingAccepted, OutcomeUnknown, QuotaExceeded, UniqueKeyTaken
from gateway.limits.quotas import Charge, Quotas
from gateway.storage.database import Database, type_Connection
from gateway.storage.queries import Queries
from gateway.submission.batch_writer import Acceptances
from gateway.submission.idempotency import Idempotency, Replay, first_answer, recall
from gateway.submission.new_task import NO_OVERRIDE, NewTask, stored_payload
from gateway.submission.start_plan import DispatcherPort, OnAccepted, StartPlan, Tracer, no_trace, plan_to_wait
from gateway.submission.unique_keys import REPEATED, Holder, UniqueKeys, repeated_keys
from gateway.submission.yielding import Yielding
from gateway.tasks import fault_points

SQL = Queries("gateway.tasks.lifecycle", "transitions.sql")

#: Up to so many tasks of one submission are started at once. Larger batches wait, so that they do not delay others.
FEW = 32

#: A batch is written in statements of so many rows, or of one more row than has so many characters of payload.
PIECE_ROWS = 250
PIECE_CHARACTERS = 1024 * 1024
#: Place of the payload in a row.
PAYLOAD = 4

#: Makes the answer to a batch from the active tasks that have the unique keys of its tasks, and from the quotas that
#: its tasks exceed. Both are by the index of the task in the batch.
Answer = Callable[[Mapping[int, Holder], Mapping[int, QuotaExceeded]], str]

#: Further statements of the transaction that accepts tasks (e.g. the row in `memories`).
Beside = Callable[[type_Connection], Awaitable[None]]

#: How long to look for the rows of a commit whose answer was lost (seconds).
LOOK_SECONDS = 3.0


class _NotSeen(Exception):
    """The tasks were not found."""


class Intake:
    """Accepts tasks. Once committed, a task cannot be lost. Without `quotas` none are charged."""

    def __init__(
        self,
        database: Database,
        dispatcher: DispatcherPort,
        *,
        max_attempts: int,
        idempotency_hours: float,
        quotas: Quotas | None = None,
        on_accepted: OnAccepted = lambda tasks, plans: None,
        trace: Tracer = no_trace,
    ) -> None:
        self._db = database
        self._acceptances = Acceptances(database, one=SQL.accept, many=SQL.accept_many)
        self._unique_keys = UniqueKeys(database)
        self._dispatcher = dispatcher
        self._quotas = quotas
        self._on_accepted = on_accepted
        self._trace = trace
        self._max_attempts = max_attempts
        self._memory_seconds = idempotency_hours * 3600

    async def submit(
        self,
        tasks: Sequence[NewTask],
        *,
        idempotency: Idempotency | None = None,
        beside: Beside | None = None,
        after: Beside | None = None,
        plans: Sequence[StartPlan] | None = None,
    ) -> Replay | None:
        """Accept all tasks, or none. A `Replay` is the answer of an earlier request with the same key.

        `beside` and `after` run in the same transaction, before and after the tasks are written. `plans`: the start
        plans of the tasks, if the dispatcher is not to make them.

        Raises `IdempotencyMismatch`, `UniqueKeyTaken`, `QuotaExceeded`, `NothingAccepted`, `OutcomeUnknown`.
        """
        if repeated := repeated_keys(tasks):
            raise UniqueKeyTaken(index=min(repeated), message=REPEATED)
        plans = await self._plans(tasks, plans)
        fault_points.passing("before_accept")
        is_plain = len(tasks) == 1 and idempotency is None and beside is None and after is None
        try:
            # One with a unique key may have to wait for a transaction with the same key: not in front of others.
            if is_plain and tasks[0].unique_key is None and not self._is_limited(tasks[0]):
                await self._acceptances.add(self._row(tasks[0], plans[0]))
            elif replay := await self._unique_keys.guard(
                tasks, lambda: self._accept(tasks, plans, idempotency, beside, after)
            ):
                return replay
        except DatabaseUnavailable as error:
            await self._resolve(error, [task.task_id for task in tasks])
        fault_points.passing("after_accept")
        await self._begin(tasks, plans)
        return None

    async def submit_each(
        self, tasks: Sequence[NewTask], answer: Answer, idempotency: Idempotency | None, *, whole: bool = True
    ) -> Replay | str:
        """Accept those tasks whose unique keys are free, and return `answer`.

        `answer` gets for each other task the active task that has its key, or the quota that it exceeds. If it raises,
        all tasks are refused. With `whole`, the tasks count as one for quotas: all are refused by `QuotaExceeded`.
        Of several with the same key, the first that no quota refuses has it.
        Raises `IdempotencyMismatch`, `QuotaExceeded`, `NothingAccepted`, `OutcomeUnknown`.
        """
        plans = await self._plans(tasks)
        fault_points.passing("before_accept")
        accepted: list[int] = []
        text = ""

        async def step() -> Replay | None:
            nonlocal accepted, text
            found, repeated = await self._unique_keys.find(tasks), repeated_keys(tasks)
            free = [index for index in range(len(tasks)) if index not in found]
            taken = repeated | found
            accepted = [index for index in free if index not in taken]
            try:
                text = answer(taken, {})
            except UniqueKeyTaken:
                # Of a repeated batch: by its own tasks, maybe.
                if idempotency is None or (replay := await self.first_answer(idempotency)) is None:
                    raise
                return replay
            key = idempotency and replace(idempotency, answer=text)
            async with self._db.transaction() as db:
                if key is not None and (replay := await recall(db, key, self._memory_seconds)) is not None:
                    return replay
                if over := await self._charge(db, tasks, accepted if whole else free, repeated, whole=whole):
                    taken = repeated_keys(tasks, without=over) | found
                    accepted = [index for index in free if index not in taken and index not in over]
                    text = answer(taken, over)
                    if key is not None:
                        await db.execute(SQL.answer_anew, key.asked_by, key.key, text)
                await self._write(db, [(tasks[index], plans[index]) for index in accepted])
            return None

        try:
            if (replay := await self._unique_keys.guard(tasks, step, refuse=False)) is not None:
                return replay
        except DatabaseUnavailable as error:
            await self._resolve(error, [tasks[index].task_id for index in accepted])
        fault_points.passing("after_accept")
        await self._begin([tasks[index] for index in accepted], [plans[index] for index in accepted])
        return text

    async def remember(self, idempotency: Idempotency) -> Replay | None:
        """Store an answer without a new task. A `Replay` is the answer that was stored before.

        Raises `IdempotencyMismatch`, `DatabaseUnavailable`.
        """
        return await self._accept([], [], idempotency, None)

    async def first_answer(self, idempotency: Idempotency) -> Replay | None:
        """The answer to an earlier request that this one repeats. Raises `DatabaseUnavailable`."""
        return await first_answer(self._db, idempotency, self._memory_seconds)

    async def _accept(
        self,
        tasks: Sequence[NewTask],
        plans: Sequence[StartPlan],
        idempotency: Idempotency | None,
        beside: Beside | None,
        after: Beside | None = None,
    ) -> Replay | None:
        async with self._db.transaction() as db:
            if idempotency is not None and (replay := await recall(db, idempotency, self._memory_seconds)) is not None:
                return replay
            await self._charge(db, tasks, range(len(tasks)), {}, whole=True)
            if beside is not None:
                await beside(db)
            await self._write(db, list(zip(tasks, plans, strict=True)))
            if after is not None:
                await after(db)
        return None

    async def _resolve(self, error: DatabaseUnavailable, task_ids: Sequence[str]) -> None:
        """Return if these tasks turn out to be accepted. Raises `NothingAccepted` if they certainly are not, else
        `OutcomeUnknown`."""
        if not isinstance(error, OutcomeUnknown):
            raise NothingAccepted(retry_after=error.retry_after) from error
        if not task_ids:
            raise error
        try:
            async for attempt in AsyncRetrying(
                stop=stop_after_delay(LOOK_SECONDS), wait=wait_fixed(0.1), retry=retry_if_exception_type(_NotSeen)
            ):
                with attempt:
                    await self._see(task_ids)
        except RetryError:
            raise OutcomeUnknown(task_ids=task_ids, retry_after=error.retry_after) from error

    async def _see(self, task_ids: Sequence[str]) -> None:
        """Raises `_NotSeen` unless these tasks are there. They may still come, or PostgreSQL cannot be asked."""
        try:
            if await self._db.fetchval(SQL.count_accepted, task_ids) < len(task_ids):
                raise _NotSeen
        except DatabaseUnavailable as error:
            raise _NotSeen from error

    async def _charge(
        self,
        db: type_Connection,
        tasks: Sequence[NewTask],
        these: Iterable[int],
        repeated: Mapping[int, Holder],
        *,
        whole: bool,
    ) -> dict[int, QuotaExceeded]:
        """Charge these tasks, as a `whole` or one by one. Returns the quotas that are exceeded, by task.

        One by one, of those with a `repeated` key only the first that fits. Raises `QuotaExceeded` for the whole.
        """
        if self._quotas is None:
            return {}
        limited, charges, without_limit, yielding = [], [], set[str](), Yielding()
        for index in these:
            task = tasks[index]
            first = repeated[index].task_id if index in repeated else task.task_id
            if first in without_limit:
                continue
            if not self._is_limited(task):
                without_limit.add(first)
                continue
            await yielding.pause()
            limited.append(index)
            charges.append(_charge(task, first))
        if not charges:
            return {}
        if whole:
            await self._quotas.charge(db, charges)
            return {}
        over = await self._quotas.charge_each(db, charges)
        return {limited[place]: error for place, error in over.items()}

    def _is_limited(self, task: NewTask) -> bool:
        """Steps of a DAG are not charged: their run was."""
        place, is_step = task.placement, task.dag_run_id not in (None, task.task_id)
        return self._quotas is not None and not is_step and self._quotas.covers(place.tenant_id, place.project_id)

    async def _plans(self, tasks: Sequence[NewTask], made: Sequence[StartPlan] | None = None) -> list[StartPlan]:
        """The start plans of the tasks of one submission, which may be made already, with their traces."""
        few = len(tasks) <= FEW
        plans, yielding = [], Yielding()
        for index, task in enumerate(tasks):
            plan = made[index] if made else self._dispatcher.plan(task) if few else plan_to_wait(task.not_before)
            plans.append(plan.traced(self._trace(task)))
            await yielding.pause()
        return plans

    async def _begin(self, tasks: Sequence[NewTask], plans: Sequence[StartPlan]) -> None:
        for plan in plans:
            if plan.start is not None:
                self._dispatcher.begin(plan)
        if any(plan.start is None for plan in plans):
            self._dispatcher.wake()
        yielding = Yielding()
        for first in range(0, len(tasks), PIECE_ROWS):
            self._on_accepted(tasks[first : first + PIECE_ROWS], plans[first : first + PIECE_ROWS])
            await yielding.pause()

    async def _write(self, db: type_Connection, tasks: Sequence[tuple[NewTask, StartPlan]]) -> None:
        """Write the tasks, so many at a time that others have their turns and few of their payloads are held twice."""
        rows: list[tuple[Any, ...]] = []
        size = 0
        for number, (task, plan) in enumerate(tasks, 1):
            rows.append(self._row(task, plan))
            size += len(rows[-1][PAYLOAD])
            if number == len(tasks) or len(rows) == PIECE_ROWS or size >= PIECE_CHARACTERS:
                if len(rows) == 1:
                    await db.execute(SQL.accept, *rows[0])
                else:
                    await db.execute(SQL.accept_many, *(list(column) for column in zip(*rows, strict=True)))
                rows, size = [], 0

    def _row(self, task: NewTask, plan: StartPlan) -> tuple[Any, ...]:
        retry = task.retry or NO_OVERRIDE
        return (
            task.task_id,
            task.group_id,
            task.task_type,
            task.created_at,
            stored_payload(task),
            task.entity_id,
            task.entity_type,
            task.parent_task_id,
            task.placement.tenant_id,
            task.placement.project_id,
            task.user_id,
            plan.state,
            plan.backend,
            plan.stage,
            1 if plan.state == "starting" else 0,
            task.priority,
            task.not_before,
            plan.due_at,
            self._dispatcher.owner_id if plan.state == "starting" else None,
            retry.attempts or self._max_attempts,
            plan.queue,
            _json(task.labels),
            task.unique_key,
            retry.initial,
            retry.coefficient,
            retry.maximum,
            task.expires_at,
            _json(task.callback),
            task.schedule_id,
            task.dag_run_id,
            task.held or plan.held,
            plan.rule,
            plan.entry_id,
            _json(plan.trace),
        )


def _json(value: Mapping[str, Any] | None) -> str | None:
    return orjson.dumps(value).decode() if value else None


def _charge(task: NewTask, one_of: str) -> Charge:
    place = task.placement
    return Charge(place.tenant_id, place.project_id, len(orjson.dumps(task.payload)), one_of)
