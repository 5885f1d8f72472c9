"""Spans of the statements that are sent to Neo4j, for which OpenTelemetry has no instrumentation of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

import neo4j
from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.instrumentation.utils import unwrap
from opentelemetry.trace import SpanKind, Status, StatusCode
from wrapt import wrap_function_wrapper

#: Every statement passes through `run` of one of these, also that of `AsyncDriver.execute_query`.
_CLASSES: Final = (neo4j.AsyncSession, neo4j.AsyncTransaction, neo4j.AsyncManagedTransaction)


class GraphInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """For the whole process. A span names the statement's first word; text and parameters are not recorded.

    Names and attributes are those of OpenTelemetry's semantic conventions for databases.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("neo4j >= 5",)

    def _instrument(self, **given: Any) -> None:
        tracer = trace.get_tracer("taskgate.neo4j", tracer_provider=given["tracer_provider"])

        async def run(
            wrapped: Callable[..., Awaitable[Any]], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            if not trace.get_current_span().is_recording():
                return await wrapped(*args, **kwargs)
            operation = _first_word(args[0] if args else kwargs["query"])
            with tracer.start_as_current_span(
                operation,
                kind=SpanKind.CLIENT,
                attributes={"db.system.name": "neo4j", "db.operation.name": operation},
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    return await wrapped(*args, **kwargs)
                except BaseException as error:
                    span.set_attribute("error.type", type(error).__name__)
                    span.set_status(Status(StatusCode.ERROR))
                    raise

        for one in _CLASSES:
            wrap_function_wrapper(one, "run", run)

    def _uninstrument(self, **_given: Any) -> None:
        for one in _CLASSES:
            unwrap(one, "run")


def _first_word(query: Any) -> str:
    """`MATCH`, `MERGE` …; a query that begins with something else is `QUERY`, so that names are few."""
    word = str(getattr(query, "text", query)).split(None, 1)[0:1]
    return word[0].upper() if word and word[0].isalpha() and len(word[0]) <= 20 else "QUERY"
