"""A project's schema, from its tables to models."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import pytest
from graphiti_core.utils.ontology_utils.entity_types_utils import validate_entity_types

from workers.graph.project_schema import DEFAULT_ENTITY_TYPES, SQL, load_schema


class Tables:
    """Answers each query with the rows given for it."""

    def __init__(self, **rows: list[dict[str, Any]]) -> None:
        self.rows = {getattr(SQL, f"load_{name}"): found for name, found in rows.items()}

    async def fetch(self, query: str, /, *args: Any) -> list[dict[str, Any]]:
        return self.rows.get(query, [])

    async def execute(self, query: str, /, *args: Any) -> str:
        return "INSERT 0 0"


def row(name: str, schema: Any = "{}", description: str | None = None) -> dict[str, Any]:
    return {"name": name, "schema": schema, "description": description}


async def test_a_project_without_a_schema_has_the_types_of_memstack() -> None:
    assert [list(part or ()) for part in await load_schema(Tables(), "p")] == [list(DEFAULT_ENTITY_TYPES), [], []]


async def test_attributes_become_optional_fields() -> None:
    schema = '{"age": {"type": "Integer", "description": "Years"}, "born": "DateTime", "tags": {"type": "List"}}'
    entities, _, _ = await load_schema(Tables(entity_types=[row("Customer", schema, "Somebody who buys")]), "p")
    customer = entities["Customer"]

    assert customer.__doc__ == "Somebody who buys"
    assert customer().model_dump() == {"age": None, "born": None, "tags": None}
    assert customer(age=7, born=datetime(2020, 1, 1), tags=["a"]).age == 7  # type: ignore[attr-defined]  # noqa: DTZ001
    assert customer.model_fields["age"].description == "Years"


async def test_what_graphiti_could_not_take_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        row("Customer", {"name": "String", "summary": "String", "e-mail": "String", "model_dump": "String", "ok": 1}),
        row("Two Words"),
        row("Entity"),
    ]
    with caplog.at_level(logging.WARNING, "workers.graph"):
        entities, _, _ = await load_schema(Tables(entity_types=rows), "p")

    validate_entity_types(entities)
    assert list(entities["Customer"].model_fields) == ["ok"]
    assert "Two Words" not in entities
    assert "Entity" not in entities
    assert "'Two Words' is left out" in caplog.text


async def test_edge_types_and_where_they_may_stand() -> None:
    tables = Tables(
        edge_types=[row("WORKS_AT"), row("any name")],
        edge_type_maps=[
            {"source_type": "Person", "target_type": "Organization", "edge_type": "WORKS_AT"},
            {"source_type": "Person", "target_type": "Organization", "edge_type": "GONE"},
        ],
    )
    _, edges, pairs = await load_schema(tables, "p")

    assert list(edges or ()) == ["WORKS_AT", "any name"]
    assert pairs == {("Person", "Organization"): ["WORKS_AT"]}
