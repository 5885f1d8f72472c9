"""Runs bulk operations chunk by chunk, in any gateway that is free; if one dies, the others continue."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from backends.port import Capability, WorkflowEnginePort
from gateway.access.placement import Caller
from gateway.errors import DatabaseUnavailable, TaskNotFound, TaskNotRetryable, TaskNotStoppable, UniqueKeyTaken
from gateway.operations.operations import ACTIONABLE, SQL, TaskSelection, upto
from gateway.storage.database import Database, type_Connection
from gateway.storage.driver_errors import is_outage, took_too_long
from gateway.storage.paging import Place
from gateway.tasks.lifecycle.transitions import ChangeNotifier, Transitions
from gateway.tasks.queries.task_log import Position
from gateway.tasks.queries.task_selection import TaskSelector, Wanted

log = logging.getLogger(__name__)

#: Tasks of one chunk, and how many of them at once.
CHUNK = 50
AT_ONCE = 4
#: A chunk that takes too long so often in succession ends its operation; until then it may have waited for a lock.
MOST_TOO_LONG = 20
#: Most errors that are kept of an operation.
MOST_ERRORS = 20


@dataclass
class _Chunk:
    """The result for some tasks."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    errors: list[dict[str, str]] = field(default_factory=list)

    def note(self, task_id: str, reason: str, *, failed: bool = False) -> None:
        if failed:
            self.failed += 1
        else:
            self.skipped += 1
        self.errors.append({"task_id": task_id, "reason": reason[:500]})


class LetterStep(Protocol):
    """What became of the next dead letters: those redriven, those not (with the reason), and the places of all."""

    @property
    def done(self) -> Sequence[str]: ...
    @property
    def skipped(self) -> Mapping[str, str]: ...
    @property
    def places(self) -> Sequence[Place]: ...


class LetterSteps(Protocol):
    """Redrives dead letters for an operation (`gateway.dead_letters.operation`)."""

    async def step(self, operation: Any, after: Place | None, *, limit: int) -> LetterStep:
        """Redrive the next ones; `operation` is a row of `operations.sql:take`. Raises `DatabaseUnavailable`."""


class OperationRunner:
    """Runs operations in turns. `seconds`: the longest pause between two looks for those that other gateways began."""

    def __init__(
        self,
        database: Database,
        engines: Collection[WorkflowEnginePort],
        transitions: Transitions,
        notifier: ChangeNotifier,
        *,
        wake_dispatcher: Callable[[], None],
        cancel_soon: Callable[[], None],
        letters: LetterSteps,
        seconds: float = 1.0,
    ) -> None:
        self._db = database
        self._selector = TaskSelector(database)
        self._transitions = transitions
        self._notifier = notifier
        self._wake_dispatcher = wake_dispatcher
        self._cancel_soon = cancel_soon
        self._letters = letters
        self._seconds = seconds
        self._movable = [e.name for e in engines if {Capability.FENCED, Capability.PRIORITY} <= e.capabilities]
        self._wanted = asyncio.Event()
        self._too_long: Counter[str] = Counter()

    def wake(self) -> None:
        """An operation was begun."""
        self._wanted.set()

    async def run(self) -> None:
        """Run operations until cancelled."""
        while True:
            # `wait_for` would lose a cancellation that comes together with a wake-up (Python 3.11).
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._wanted.wait()
            self._wanted.clear()
            with contextlib.suppress(DatabaseUnavailable):
                while await self.step():
                    pass

    async def step(self) -> bool:
        """Carry out one chunk of one operation. Returns False if there is none. Raises `DatabaseUnavailable`."""
        async with self._db.transaction() as db:
            operation = await db.fetchrow(SQL.take)
            if operation is None:
                return False
            try:
                await self._advance(db, operation)
            except Exception as error:
                if is_outage(error):
                    raise
                if took_too_long(error) and self._may_try_again(operation["operation_id"]):
                    await db.execute(SQL.put_off, operation["operation_id"])
                    return True
                # An operation that cannot be carried out must not delay the others for ever.
                log.exception("operation %s cannot be carried out", operation["operation_id"])
                await db.execute(SQL.give_up, operation["operation_id"], type(error).__name__)
            self._too_long.pop(operation["operation_id"], None)
        return True

    def _may_try_again(self, operation_id: str) -> bool:
        """Whether a chunk that took too long just now has not done so too often."""
        self._too_long[operation_id] += 1
        log.warning("a chunk of operation %s took too long; the others come first", operation_id)
        return self._too_long[operation_id] < MOST_TOO_LONG

    async def _advance(self, db: type_Connection, operation: Any) -> None:
        after = None
        if operation["at_task"] is not None:
            after = Position(operation["at_created"], operation["at_task"])
        chunk = _Chunk()
        if operation["letters"] is not None:
            positions = await self._redrive_letters(operation, after, chunk)
        else:
            positions = await self._next(operation, after)
            if positions:
                await self._act(operation, [position.task_id for position in positions], chunk)
        last = positions[-1] if positions else after
        await db.execute(
            SQL.advance,
            operation["operation_id"],
            chunk.done,
            chunk.skipped,
            chunk.failed,
            MOST_ERRORS,
            orjson.dumps(chunk.errors[:MOST_ERRORS]).decode(),
            last and last.created_at,
            last and last.task_id,
            len(positions) < CHUNK,
        )

    async def _redrive_letters(self, operation: Any, after: Position | None, chunk: _Chunk) -> list[Position]:
        """Redrive the next dead letters, and say which those were."""
        place = None if after is None or after.created_at is None else Place(after.created_at, after.task_id)
        step = await self._letters.step(operation, place, limit=CHUNK)
        chunk.done += len(step.done)
        for letter_id, reason in step.skipped.items():
            chunk.note(letter_id, reason)
        return [Position(place.at, place.id) for place in step.places]

    async def _next(self, operation: Any, after: Position | None) -> list[Position]:
        selection = TaskSelection.model_validate_json(operation["selection"])
        tenants = operation["tenant_ids"]
        asker = Caller(operation["user_id"], "", tenants is None, frozenset(tenants or ()))
        until, within = upto(selection, operation["created_at"]), ACTIONABLE[operation["action"]]
        wanted = Wanted(asker, until, selection.labels, within, selection.ids)
        return await self._selector.positions(wanted, limit=CHUNK, after=after)

    async def _act(self, operation: Any, task_ids: list[str], chunk: _Chunk) -> None:
        if operation["action"] == "reprioritise":
            await self._reprioritise(task_ids, operation["priority"], chunk)
            return
        verb = self._transitions.stop if operation["action"] == "cancel" else self._transitions.retry
        waiting = iter(task_ids)

        async def work() -> None:
            for task_id in waiting:
                try:
                    await verb(task_id)
                except (TaskNotFound, TaskNotRetryable, TaskNotStoppable) as error:
                    chunk.note(task_id, error.message)  # it changed meanwhile
                except UniqueKeyTaken as error:
                    chunk.note(task_id, error.message, failed=True)
                else:
                    chunk.done += 1

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))

    async def _reprioritise(self, task_ids: list[str], priority: int, chunk: _Chunk) -> None:
        changed = await self._db.fetch(SQL.reprioritise_waiting, task_ids, priority)
        found = {row["task_id"]: row for row in await self._db.fetch(SQL.priorities, task_ids)}
        already = {row["task_id"] for row in found.values() if row["priority"] == priority}
        queued = [task_id for task_id in task_ids if task_id not in already]
        moved = await self._db.fetch(SQL.reprioritise_queued, queued, priority, self._movable) if queued else []
        done = {row["task_id"] for row in (*changed, *moved)} | already
        chunk.done += len(done)
        for task_id in task_ids:
            if task_id not in done:
                chunk.note(task_id, _why_not(found.get(task_id)))
            else:
                self._notifier.changed(task_id)
        if moved:
            self._cancel_soon()
            self._wake_dispatcher()


def _why_not(row: Any) -> str:
    if row is None:
        return TaskNotFound().message
    if row["state"] == "queued" and row["failures"]:
        return "it waits for its next attempt"
    if row["state"] == "queued":
        return f"it is queued on {row['backend']}, where its place cannot be changed"
    return f"it is {row['state']}"
