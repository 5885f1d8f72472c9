"""The dispatcher of processes that start no tasks themselves."""

from __future__ import annotations

import asyncio

from gateway.storage.database import Database
from gateway.submission.new_task import NewTask
from gateway.submission.start_plan import StartPlan, plan_to_wait
from gateway.tasks.lifecycle.transitions import DUE_CHANNEL


class DeferringDispatcher:
    """Leaves every start to the gateways' dispatchers, which a notification wakes."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._wakes: set[asyncio.Task[str]] = set()

    @property
    def owner_id(self) -> str:
        return ""

    def plan(self, task: NewTask) -> StartPlan:
        return plan_to_wait(task.not_before)

    def begin(self, plan: StartPlan) -> None:
        raise AssertionError("nothing is started here")

    def wake(self) -> None:
        wake = asyncio.create_task(self._db.execute("SELECT pg_notify($1, '')", DUE_CHANNEL))
        self._wakes.add(wake)
        wake.add_done_callback(self._wakes.discard)
