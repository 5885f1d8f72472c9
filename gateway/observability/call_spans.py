"""A span around each call to a server that OpenTelemetry's own instrumentation does not know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider

Wrapper = Callable[[Callable[..., Awaitable[Any]], Any, tuple[Any, ...], dict[str, Any]], Awaitable[Any]]


def spanned(provider: TracerProvider, system: str, operation_of: Callable[..., str]) -> Wrapper:
    """For `wrapt`: a client span within recorded ones, named by `operation_of(*args, **kwargs)` and nothing else of the
    arguments. Names and attributes are those of OpenTelemetry's semantic conventions for databases."""
    tracer = trace.get_tracer(f"taskgate.{system}", tracer_provider=provider)

    async def call(
        wrapped: Callable[..., Awaitable[Any]], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not trace.get_current_span().is_recording():
            return await wrapped(*args, **kwargs)
        operation = operation_of(*args, **kwargs)
        with tracer.start_as_current_span(
            operation,
            kind=SpanKind.CLIENT,
            attributes={"db.system.name": system, "db.operation.name": operation},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                return await wrapped(*args, **kwargs)
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise

    return call
