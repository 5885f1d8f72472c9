"""The activity `taskgate.probe`: does everything with a task that comes before its handler, and claims nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from temporalio import activity
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from backends.redis_queue.wire import for_handler
from backends.rehearsal import ProbeAnswer
from backends.temporal import names
from backends.temporal.messages import Probe, probe_of
from backends.temporal.probes import STOPPED, report
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from gateway.storage.queries import Queries
from gateway.tasks.payload import decode_payload
from workers.handlers.base import TaskHandler
from workers.rehearsal.context import RehearsalContext
from workers.rehearsal.rehearsing import Rehearsed, Rehearsing
from workers.temporal.slots import SharedSlots

log = logging.getLogger(__name__)
SQL = Queries("workers", "process.sql")

#: How long a probe waits for a slot of this process.
SLOT_SECONDS = 10.0


class ProbeActivity:
    """Answers probes of every type in this process; each takes a slot, as its task would.

    `handler_of`: the handler of a type. `worker_id`: whom the answers name.
    """

    def __init__(
        self,
        database: Database,
        handler_of: Callable[[str], TaskHandler | None],
        rehearsing: Rehearsing,
        worker_id: str,
    ) -> None:
        self._db = database
        self._handler_of = handler_of
        self._rehearsing = rehearsing
        self._worker_id = worker_id
        self._running: set[asyncio.Task[Any]] = set()
        self._is_leaving = False
        self._slots: SharedSlots

    def share(self, slots: SharedSlots) -> None:
        """Take part in these slots."""
        self._slots = slots

    @activity.defn(name=names.PROBE)
    async def probe(self, received: RawValue) -> dict[str, Any]:
        """The findings. Neither this worker nor the handler writes anything."""
        if self._is_leaving:
            raise _stopped()
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            arrived = time.monotonic()
            async with self._slots.admission(SLOT_SECONDS) as admitted:
                waited = time.monotonic() - arrived
                answer = await self._answer(received) if admitted else ProbeAnswer("no_slot")
            return report(answer, waited)
        except asyncio.CancelledError:
            if self._is_leaving:
                raise _stopped() from None
            raise
        finally:
            self._running.discard(task)

    async def leave(self) -> None:
        """Cancel the probes under way: nothing depends on them."""
        self._is_leaving = True
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _answer(self, received: RawValue) -> ProbeAnswer:
        began = time.monotonic()
        try:
            message = probe_of(activity.payload_converter().from_payload(received.payload, dict))
            payload = await self._payload_of(message)
        except DatabaseUnavailable:
            return ProbeAnswer("no_database", worker_id=self._worker_id)
        except Exception as error:  # noqa: BLE001 - whatever a converter raises, the task would fail like this
            return ProbeAnswer("not_decodable", type(error).__name__, worker_id=self._worker_id)
        if payload is None:
            return ProbeAnswer("row_gone", worker_id=self._worker_id)
        full = for_handler(message.task_id, message.task_type, message.group_id, payload)
        decoded = time.monotonic() - began
        handler = self._handler_of(message.task_type)
        found = Rehearsed("no_handler") if handler is None else await self._rehearse(handler, full)
        return ProbeAnswer(
            found.outcome,
            found.detail,
            decode_seconds=decoded,
            run_seconds=found.seconds,
            worker_id=self._worker_id,
        )

    async def _rehearse(self, handler: TaskHandler, payload: dict[str, Any]) -> Rehearsed:
        return await self._rehearsing.run(handler, payload, RehearsalContext(self._db))

    async def _payload_of(self, message: Probe) -> dict[str, Any] | None:
        if message.payload is not None:
            return message.payload
        text = await self._db.fetchval(SQL.payload, message.task_id)
        return None if text is None else decode_payload(text)


def _stopped() -> ApplicationError:
    return ApplicationError(
        "the worker is shutting down",
        type=STOPPED,
        non_retryable=True,
        category=ApplicationErrorCategory.BENIGN,
    )
