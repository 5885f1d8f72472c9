"""Checks one start: what a tenant's task would be on Temporal, compiled from its row, and what speaks against it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import asyncpg

from backends.errors import EngineError, EngineUnavailable
from backends.port import WorkflowRef, WorkflowStart
from backends.rehearsal import Objection, RehearsalPort
from gateway.access.placement import Placement
from gateway.dispatch.engine_start import StartBuilder
from gateway.migration.rehearsal.workers import LiveWorkers
from gateway.routing.query import RouteQuery
from gateway.routing.stages import REDIS
from gateway.submission.new_task import RetryOverride
from gateway.tasks.payload import decode_payload

log = logging.getLogger(__name__)


class StartCheck:
    """`engine` None: there is no Temporal. `weight_of`, `name_workflow`: as the dispatcher's."""

    def __init__(
        self,
        engine: RehearsalPort | None,
        starts: StartBuilder,
        workers: LiveWorkers,
        *,
        weight_of: Callable[[str | None], float],
        name_workflow: Callable[[str | None, str], str | None],
    ) -> None:
        self._engine = engine
        self._starts = starts
        self._workers = workers
        self._weight_of = weight_of
        self._name_workflow = name_workflow

    def start_of(self, row: asyncpg.Record) -> WorkflowStart:
        """The first start of the task on Temporal. Raises `ValueError` or `OverflowError` when there is none."""
        place = _place_of(row)
        return self._starts.build(
            WorkflowRef(row["task_id"], 1, row["group_id"], row["task_type"]),
            decode_payload(row["payload"]),
            place,
            priority=row["priority"],
            weight=self._weight_of(place.tenant_id),
            retry=RetryOverride(
                row["max_attempts"], row["retry_initial"], row["retry_coefficient"], row["retry_maximum"]
            ),
            workflow=self._name_workflow(place.tenant_id, row["task_type"]),
        )

    async def check(self, row: asyncpg.Record) -> list[Objection]:
        """What speaks against it. Raises `EngineUnavailable`, `DatabaseUnavailable`."""
        if row["row_gone"]:
            return [Objection("row_gone")]
        found = [Objection("wants_redis")] if row["wanted_backend"] == REDIS else []
        if self._engine is None:
            return [*found, Objection("temporal_not_configured")]
        try:
            start = self.start_of(row)
            start.retry.delay_after(start.retry.attempts)
        except (ValueError, OverflowError) as error:
            return [*found, Objection("not_encodable", type(error).__name__)]
        found += await self._workers.check(row["task_type"], _place_of(row), is_workflow=start.workflow is not None)
        try:
            return [*found, *await self._engine.check(start)]
        except EngineUnavailable:
            raise
        except EngineError as error:
            log.warning("the start of task %s could not be checked: %s", row["task_id"], error.message)
            return [*found, Objection("not_checked", error.code)]


def query_of(row: asyncpg.Record) -> RouteQuery:
    """What routing is asked about this task."""
    return RouteQuery(row["tenant_id"], row["task_type"], row["task_id"], row["project_id"], plan=row["plan"])


def _place_of(row: asyncpg.Record) -> Placement:
    return Placement(row["tenant_id"], row["project_id"], row["plan"])
