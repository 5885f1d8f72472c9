"""What a worker process needs for runs of DAGs, beside what all its tasks need."""

from __future__ import annotations

from collections.abc import Callable, Collection

from backends.port import WorkflowEnginePort
from backends.temporal import names
from gateway.dags.direct import DirectStarts
from gateway.dags.limits import Limits
from gateway.dags.steps import DagSteps
from gateway.dispatch.starter import Starter
from gateway.engines import build_temporal
from gateway.observability.traced_engine import traced_engines
from gateway.settings import Settings
from workers.dependencies import Dependencies
from workers.submit import NodeDispatcher


class DagDependencies:
    """Opens nothing before it is used; `run` confirms the starts of nodes until it is cancelled, then `close`."""

    def __init__(
        self, settings: Settings, dependencies: Dependencies, task_types: Collection[str], owner_id: Callable[[], str]
    ) -> None:
        database = dependencies.database
        self._engine = build_temporal(settings)
        engines: dict[str, WorkflowEnginePort] = {names.ENGINE: self._engine}
        self._starter = Starter(
            database,
            engines if dependencies.tracing is None else traced_engines(engines, dependencies.tracing),
            owner_id=owner_id,
            concurrency=settings.dispatch_concurrency,
            fallback_seconds=0,
            record_flag=None,
            wake=lambda: None,
            ended=dependencies.arrivals.tell,
        )
        self.steps = DagSteps(
            database,
            dependencies.intake_to(NodeDispatcher(database, self._starter, owner_id)),
            dependencies.notifier,
            Limits.of(settings),
            DirectStarts(self._starter.lanes[names.ENGINE], task_types, settings.retry_policy),
        )

    async def run(self) -> None:
        """Confirm starts, and look whether an engine that was down is back."""
        await self._starter.run()

    async def close(self) -> None:
        """Let the starts under way end."""
        await self._starter.close()
        await self._engine.close()
        await self.steps.close()
