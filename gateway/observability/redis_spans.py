"""Spans of commands to Redis. OpenTelemetry's instrumentation is of a client that the queue does not use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.instrumentation.utils import unwrap
from opentelemetry.trace import SpanKind, Status, StatusCode
from wrapt import wrap_function_wrapper

from backends.redis_queue.link import Link


class RedisInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """For the whole process, within recorded spans only. A span names the command; keys and arguments are not recorded.

    Names and attributes are those of OpenTelemetry's semantic conventions for databases.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("redis >= 5",)

    def _instrument(self, **given: Any) -> None:
        tracer = trace.get_tracer("taskgate.redis", tracer_provider=given["tracer_provider"])

        async def call(
            wrapped: Callable[..., Awaitable[Any]], _instance: Link, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            if not trace.get_current_span().is_recording():
                return await wrapped(*args, **kwargs)
            command = str(args[0])
            with tracer.start_as_current_span(
                command,
                kind=SpanKind.CLIENT,
                attributes={"db.system.name": "redis", "db.operation.name": command},
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    return await wrapped(*args, **kwargs)
                except BaseException as error:
                    span.set_attribute("error.type", type(error).__name__)
                    span.set_status(Status(StatusCode.ERROR))
                    raise

        wrap_function_wrapper(Link, "call", call)

    def _uninstrument(self, **_given: Any) -> None:
        unwrap(Link, "call")
