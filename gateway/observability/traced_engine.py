"""A backend whose starts are spans; the only place where the gateway's side of an engine is traced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.trace import SpanKind

from backends.port import WorkflowEnginePort, WorkflowStart

if TYPE_CHECKING:
    from gateway.observability.traces import Tracing


class TracedEngine:
    """Everything but `start_workflow` is the engine's own."""

    def __init__(self, engine: WorkflowEnginePort, tracing: Tracing) -> None:
        self._engine = engine
        self._tracing = tracing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def start_workflow(self, start: WorkflowStart) -> None:
        """As the engine's; the context that it carries on is that of the span."""
        if not start.trace:
            return await self._engine.start_workflow(start)
        ref = start.ref
        attributes = {
            "messaging.message.id": ref.task_id,
            "messaging.destination.name": start.queue or self._engine.name,
            "taskgate.backend": self._engine.name,
            "taskgate.task.type": ref.task_type,
        }
        with self._tracing.operation("send", ref.task_type, SpanKind.PRODUCER, start.trace, attributes) as span:
            await self._engine.start_workflow(replace(start, trace=self._tracing.sent(span, start.trace)))


def traced_engines(engines: Mapping[str, WorkflowEnginePort], tracing: Tracing) -> dict[str, WorkflowEnginePort]:
    """The same engines; their starts are spans."""
    return {name: cast(WorkflowEnginePort, TracedEngine(engine, tracing)) for name, engine in engines.items()}
