"""OpenTelemetry's own instrumentation of libraries: statements of PostgreSQL, and requests that this process sends."""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.trace import Span, TracerProvider

#: Queries of addresses may hold keys.
_ADDRESSES = ("http.url", "url.full")


def instrument_libraries(provider: TracerProvider) -> None:
    """For the whole process; parameters of statements are never recorded, nor queries of addresses."""
    AsyncPGInstrumentor(capture_parameters=False).instrument(tracer_provider=provider)
    HTTPXClientInstrumentor().instrument(
        tracer_provider=provider, request_hook=_cut_query, async_request_hook=_cut_query_async
    )


def restore_libraries() -> None:
    """As they were."""
    AsyncPGInstrumentor().uninstrument()
    HTTPXClientInstrumentor().uninstrument()


def _cut_query(span: Span, request: Any) -> None:
    if span.is_recording():
        address = str(request.url).partition("?")[0].partition("#")[0]
        span.set_attributes(dict.fromkeys(_ADDRESSES, address))


async def _cut_query_async(span: Span, request: Any) -> None:
    _cut_query(span, request)
