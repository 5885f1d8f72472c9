"""A project's schema of entities and edges: from its tables to graphiti's models, and back from what a graph shows."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, Field, create_model

from gateway.storage.queries import Queries

log = logging.getLogger(__name__)

SQL = Queries("workers.graph", "project_schema.sql")

#: What every project of MemStack can tell apart, drawn up or not.
DEFAULT_ENTITY_TYPES = {
    "Person": "A human being.",
    "Organization": "A company, institution, team or other group with a name.",
    "Location": "A place: a city, country, building or landmark.",
    "Concept": "A named idea, method, field or topic.",
    "Event": "Something that happens at a time: a conference, a launch, a war.",
    "Artifact": "A made thing: a product, document, program or work of art.",
}

#: Attribute names that graphiti uses itself on entities and edges; one more of these would fail every episode.
_RESERVED = frozenset(
    {"uuid", "name", "group_id", "labels", "created_at", "name_embedding", "summary", "attributes", "fact", "episodes"}
    | {"fact_embedding", "expired_at", "valid_at", "invalid_at", "reference_time"}
    | {"source_node_uuid", "target_node_uuid"}
)
_IDENTIFIER = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_PYTHON_TYPES: dict[str, Any] = {
    "integer": int,
    "float": float,
    "boolean": bool,
    "datetime": datetime,
    "list": list[str],
}

Models = dict[str, type[BaseModel]]
Schema = tuple[Models, Models | None, dict[tuple[str, str], list[str]] | None]


class Rows(Protocol):
    """The part of `gateway.storage.database.Database` that is used here."""

    async def fetch(self, query: str, /, *args: Any) -> Sequence[Any]: ...

    async def execute(self, query: str, /, *args: Any) -> str: ...


async def load_schema(database: Rows, project_id: str) -> Schema:
    """Entity types, edge types and edge type map of a project, as `graphiti.add_episode` takes them.

    The types that MemStack always knows come first. A part that a project has none of is None. Raises what the
    database raises.
    """
    entities = {name: create_model(name, __doc__=text) for name, text in DEFAULT_ENTITY_TYPES.items()}
    entities.update(_models(await database.fetch(SQL.load_entity_types, project_id)))
    edges = _models(await database.fetch(SQL.load_edge_types, project_id), labels=False)
    pairs: dict[tuple[str, str], list[str]] = {}
    for row in await database.fetch(SQL.load_edge_type_maps, project_id):
        if row["edge_type"] in edges:
            pairs.setdefault((row["source_type"], row["target_type"]), []).append(row["edge_type"])
    return entities, edges or None, pairs or None


async def save_found(database: Rows, project_id: str, nodes: Iterable[Any], edges: Iterable[Any]) -> None:
    """Add the labels of these nodes and the names of these edges that the project's tables lack, as `generated`."""
    types = {node.uuid: _label(getattr(node, "labels", None) or ()) for node in nodes}
    labels = sorted({label for label in types.values() if label != "Entity"})
    names: set[str] = set()
    seen: set[tuple[str, str, str]] = set()
    for edge in edges:
        name = getattr(edge, "name", None)
        if not name:
            continue
        names.add(name)
        source, target = types.get(edge.source_node_uuid), types.get(edge.target_node_uuid)
        if source and target:
            seen.add((source, target, name))
    if labels:
        await database.execute(SQL.add_entity_types, project_id, labels)
    if names:
        await database.execute(SQL.add_edge_types, project_id, sorted(names))
    if seen:
        columns = [list(column) for column in zip(*sorted(seen), strict=True)]
        await database.execute(SQL.add_edge_type_maps, project_id, *columns)


def _label(labels: Iterable[str]) -> str:
    """The label that says what a node is."""
    return next((label for label in sorted(labels) if label != "Entity" and not label.startswith("Entity_")), "Entity")


def _models(rows: Iterable[Mapping[str, Any]], *, labels: bool = True) -> Models:
    """Models of types; `labels`: the names become labels of nodes, and must be such as Neo4j can take unquoted."""
    models: Models = {}
    for row in rows:
        name = str(row["name"])
        if name == "Entity":
            continue
        if labels and not _IDENTIFIER.match(name):
            log.warning("entity type %r is left out: its name cannot be a label", name)
            continue
        schema = row["schema"]
        schema = json.loads(schema) if isinstance(schema, str) else schema
        fields = dict(_fields(name, schema if isinstance(schema, dict) else {}))
        models[name] = create_model(name, __doc__=row["description"] or None, **fields)
    return models


def _fields(type_name: str, schema: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, definition in schema.items():
        if name in _RESERVED or not _IDENTIFIER.match(name) or name.startswith("_") or hasattr(BaseModel, name):
            log.warning("attribute %r of type %r is left out: the graph uses that name itself", name, type_name)
            continue
        kind = definition.get("type", "String") if isinstance(definition, dict) else definition
        text = definition.get("description", "") if isinstance(definition, dict) else ""
        yield name, (_PYTHON_TYPES.get(str(kind).lower(), str) | None, Field(None, description=str(text)))
