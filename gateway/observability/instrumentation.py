"""Instrumentation of libraries: statements of PostgreSQL and Neo4j, commands to Redis, and requests that are sent."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.trace import Span, TracerProvider

from gateway.observability.graph_spans import GraphInstrumentor
from gateway.observability.redis_spans import RedisInstrumentor

#: Paths and queries of addresses may hold keys, such as those of receivers of callbacks.
_ADDRESSES = ("http.url", "url.full")


class _Statements(AsyncPGInstrumentor):
    """Does nothing for a statement outside of a recorded trace: nearly all are."""

    async def _do_execute(self, func: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        if not trace.get_current_span().is_recording():
            return await func(*args, **kwargs)
        return await super()._do_execute(func, instance, args, kwargs)  # type: ignore[no-untyped-call]


def instrument_libraries(provider: TracerProvider) -> None:
    """For the whole process; no parameters of statements are recorded, and of an address only its host."""
    _Statements(capture_parameters=False).instrument(tracer_provider=provider)  # type: ignore[no-untyped-call]
    HTTPXClientInstrumentor().instrument(tracer_provider=provider, request_hook=_cut, async_request_hook=_cut_async)
    GraphInstrumentor().instrument(tracer_provider=provider)
    RedisInstrumentor().instrument(tracer_provider=provider)


def restore_libraries() -> None:
    """As they were."""
    _Statements().uninstrument()  # type: ignore[no-untyped-call]
    HTTPXClientInstrumentor().uninstrument()
    GraphInstrumentor().uninstrument()
    RedisInstrumentor().uninstrument()


def _cut(span: Span, request: Any) -> None:
    if span.is_recording():
        span.set_attributes(dict.fromkeys(_ADDRESSES, f"{request.url.scheme}://{request.url.host}"))


async def _cut_async(span: Span, request: Any) -> None:
    _cut(span, request)
