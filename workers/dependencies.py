"""Dependencies of handlers (PostgreSQL and the graph), for a worker and for the process of an isolated handler."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from importlib.metadata import version

from gateway.observability.telemetry import build_tracing, resource_of
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from gateway.submission.deferring_dispatcher import DeferringDispatcher
from gateway.submission.intake import Intake
from gateway.submission.new_task import NewTask
from gateway.submission.start_plan import DispatcherPort, StartPlan, no_trace
from gateway.tasks.changes.arrivals import Arrivals
from gateway.tasks.changes.notifier import Notifier
from gateway.tasks.lifecycle.claim import Claim
from gateway.tasks.lifecycle.foreign import ForeignTasks
from gateway.tasks.lifecycle.transitions import Transitions
from workers.context import ContextFactory, ProgressSink
from workers.handlers.base import TaskContext
from workers.submit import Submitter


class Dependencies:
    """Opens each dependency on first use; `close` closes those that were opened.

    `is_listening`: the process starts `listener`, once everything has subscribed.
    """

    def __init__(self, settings: Settings, *, pool_size: int, name: str, is_listening: bool = False) -> None:
        os.environ.setdefault("GRAPHITI_TELEMETRY_ENABLED", "false")
        # It logs each failed query with its parameters, which contain payloads, and also raises the error. It also logs
        # an error when several processes create the same index at once, which is harmless.
        logging.getLogger("graphiti_core.driver").setLevel(logging.CRITICAL)
        self.tracing = build_tracing(resource_of("worker", version("taskgate")), settings.trace_share)
        self.database = Database(settings.follow("database_url"), size=pool_size, name=name)
        self.listener = Listener(self.database)
        self.notifier = Notifier(self.database)
        self.arrivals = Arrivals(self.database, self.listener if is_listening else None)
        self.transitions = Transitions(
            self.database,
            self.notifier,
            retry=settings.retry_policy,
            fenced=settings.fence_enabled,
        )
        self.foreign = ForeignTasks(self.database, max_attempts=settings.task_attempts)
        self.contexts = ContextFactory(settings, self.database)
        self._settings = settings
        self._intake = self.intake_to(DeferringDispatcher(self.database))

    def intake_to(self, dispatcher: DispatcherPort) -> Intake:
        """The intake for tasks that handlers submit."""

        def announce(tasks: Sequence[NewTask], _plans: Sequence[StartPlan]) -> None:
            for task in tasks:
                self.arrivals.tell(task.task_id)

        return Intake(
            self.database,
            dispatcher,
            max_attempts=self._settings.task_attempts,
            idempotency_hours=self._settings.idempotency_hours,
            on_accepted=announce,
            trace=no_trace if self.tracing is None else self.tracing.create,
        )

    def context(self, claim: Claim, progress: ProgressSink) -> TaskContext:
        """The context of one run."""
        return self.contexts.build(progress, Submitter(self.database, self._intake, claim))

    async def close(self) -> None:
        """Raises `DatabaseUnavailable` when the last notifications could not be sent."""
        try:
            await self.notifier.close()
            await self.arrivals.close()
        finally:
            await self.contexts.close()
            await self.database.close()
            if self.tracing is not None:
                await asyncio.to_thread(self.tracing.close)
