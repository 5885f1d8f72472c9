"""Spans of commands to Redis. OpenTelemetry's instrumentation is of a client that the queue does not use."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.instrumentation.utils import unwrap
from wrapt import wrap_function_wrapper

from backends.redis_queue.link import Link
from gateway.observability.call_spans import spanned


class RedisInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """For the whole process. A span names the command; keys and arguments are not recorded."""

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("redis >= 5",)

    def _instrument(self, **given: Any) -> None:
        wrap_function_wrapper(Link, "call", spanned(given["tracer_provider"], "redis", _command))

    def _uninstrument(self, **_given: Any) -> None:
        unwrap(Link, "call")


def _command(command: Any, *_: Any, **__: Any) -> str:
    return str(command)
