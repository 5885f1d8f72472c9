"""Spans of the statements that are sent to Neo4j, for which OpenTelemetry has no instrumentation of its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import neo4j
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.instrumentation.utils import unwrap
from wrapt import wrap_function_wrapper

from gateway.observability.call_spans import spanned

#: Every statement passes through `run` of one of these, also that of `AsyncDriver.execute_query`.
_CLASSES: Final = (neo4j.AsyncSession, neo4j.AsyncTransaction, neo4j.AsyncManagedTransaction)


class GraphInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """For the whole process. A span names the statement's first word; text and parameters are not recorded."""

    def instrumentation_dependencies(self) -> Collection[str]:
        return ("neo4j >= 5",)

    def _instrument(self, **given: Any) -> None:
        run = spanned(given["tracer_provider"], "neo4j", _first_word)
        for one in _CLASSES:
            wrap_function_wrapper(one, "run", run)

    def _uninstrument(self, **_given: Any) -> None:
        for one in _CLASSES:
            unwrap(one, "run")


def _first_word(query: Any, *_: Any, **__: Any) -> str:
    """`MATCH`, `MERGE` …; a query that begins with something else is `QUERY`, so that names are few."""
    word = str(getattr(query, "text", query)).split(None, 1)[0:1]
    return word[0].upper() if word and word[0].isalpha() and len(word[0]) <= 20 else "QUERY"
