"""Limits of DAGs (settings `dag_…`)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a definition and of a run; `depth` counts DAGs inside DAGs."""

    nodes: int = 5_000
    items: int = 10_000
    width: int = 1_000
    depth: int = 4
    document_bytes: int = 2 * 1024 * 1024
    expression_length: int = 1_000
    expressions: int = 10_000
    data_bytes: int = 1024 * 1024
    history_events: int = 4_000

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(
            nodes=settings.dag_max_nodes,
            items=settings.dag_max_items,
            width=settings.dag_max_width,
            depth=settings.dag_max_depth,
            document_bytes=settings.dag_max_document_bytes,
            expression_length=settings.dag_max_expression_length,
            expressions=settings.dag_max_expressions,
            data_bytes=settings.dag_max_data_bytes,
            history_events=settings.dag_history_events,
        )
