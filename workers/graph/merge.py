"""Merges entities that are one into the oldest of them: facts, mentions and memberships move, nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.graph.duplicates import DuplicateGroup

#: What a node is, as against what is known of it: the survivor's own stays.
_IDENTITY = frozenset({"uuid", "name", "group_id", "created_at", "name_embedding", "labels", "summary"})
#: graphiti's own limit of a summary, twice: it shortens what is longer when it next writes the node.
_SUMMARY_CHARS = 2000

# Both ends are locked in the order of their uuids before anything is read, so that two merges cannot meet crosswise.
_READ = """
MATCH (n:Entity) WHERE n.uuid IN $uuids
WITH n ORDER BY n.uuid
SET n.merging = true
WITH n
REMOVE n.merging
RETURN n.uuid AS uuid, n.group_id AS group_id, labels(n) AS labels, properties(n) AS properties
"""

_TYPES = "MATCH (:Entity {uuid: $duplicate})-[r]-() RETURN DISTINCT type(r) AS type ORDER BY type"

# One type at a time: with a dynamic type (`[:$(type(r))]`), Neo4j 5.26.0 gives every row the type of the first.
_MOVE_OUT = """
MATCH (d:Entity {uuid: $duplicate})-[r:<type>]->(other)
MATCH (s:Entity {uuid: $survivor})
WITH s, r, CASE WHEN other.uuid = $duplicate THEN s ELSE other END AS target
CREATE (s)-[moved:<type>]->(target)
SET moved = properties(r)
DELETE r
"""

_MOVE_IN = """
MATCH (other)-[r:<type>]->(d:Entity {uuid: $duplicate})
MATCH (s:Entity {uuid: $survivor})
CREATE (other)-[moved:<type>]->(s)
SET moved = properties(r)
DELETE r
"""

# graphiti keeps the ends of a fact as properties too.
_READDRESS = """
MATCH (a:Entity)-[r:RELATES_TO]-(:Entity {uuid: $survivor})
WITH DISTINCT r
SET r.source_node_uuid = CASE WHEN r.source_node_uuid IS NULL THEN null ELSE startNode(r).uuid END,
    r.target_node_uuid = CASE WHEN r.target_node_uuid IS NULL THEN null ELSE endNode(r).uuid END
"""

_ONE_FACT = """
MATCH (:Entity {uuid: $survivor})-[r:RELATES_TO]-(:Entity)
WITH DISTINCT r ORDER BY r.created_at, r.uuid
WITH startNode(r) AS source, endNode(r) AS target, r.name AS name, toLower(trim(coalesce(r.fact, ''))) AS fact,
     collect(r) AS same
WHERE size(same) > 1
WITH head(same) AS first, tail(same) AS again,
     reduce(all = [], r IN same | all + [e IN coalesce(r.episodes, []) WHERE NOT e IN all]) AS episodes
SET first.episodes = episodes
FOREACH (r IN again | DELETE r)
"""

_ONE_MENTION = """
MATCH (other)-[r:MENTIONS|HAS_MEMBER]->(:Entity {uuid: $survivor})
WITH other, type(r) AS kind, r ORDER BY r.created_at, r.uuid
WITH other, kind, collect(r) AS same WHERE size(same) > 1
FOREACH (r IN tail(same) | DELETE r)
"""

_COUNT_MEMBERS = """
MATCH (c:Community)-[:HAS_MEMBER]->(:Entity {uuid: $survivor})
SET c.member_count = COUNT { (c)-[:HAS_MEMBER]->(:Entity) }
"""

_FINISH = """
MATCH (s:Entity {uuid: $survivor})
SET s += $properties, s:$($labels)
WITH s
MATCH (d:Entity) WHERE d.uuid IN $duplicates
DETACH DELETE d
"""


@dataclass(frozen=True, slots=True)
class Merge:
    """What one merge did: the survivor, and the entities that are gone."""

    survivor: str
    removed: tuple[str, ...]


async def merge_group(driver: Any, group: DuplicateGroup) -> Merge | None:
    """Merge one group in one transaction; None when by now fewer than two of its entities exist.

    `driver` is graphiti's driver. Cut off at any moment, nothing has happened; repeated, nothing is left to do.
    """
    async with driver.session() as session:
        merge: Merge | None = await session.execute_write(_merge, group)
    return merge


async def _merge(transaction: Any, group: DuplicateGroup) -> Merge | None:
    found = {record["uuid"]: record async for record in await transaction.run(_READ, uuids=list(group.uuids))}
    present = [uuid for uuid in group.uuids if uuid in found]
    if len(present) < 2 or len({found[uuid]["group_id"] for uuid in present}) > 1:
        return None
    survivor, *duplicates = present
    for duplicate in duplicates:
        types = [record["type"] async for record in await transaction.run(_TYPES, duplicate=duplicate)]
        for query in [query for kind in types for query in (_of(_MOVE_OUT, kind), _of(_MOVE_IN, kind))]:
            await _run(transaction, query, survivor=survivor, duplicate=duplicate)
    for query in (_READDRESS, _ONE_FACT, _ONE_MENTION, _COUNT_MEMBERS):
        await _run(transaction, query, survivor=survivor)
    await _run(
        transaction,
        _FINISH,
        survivor=survivor,
        duplicates=duplicates,
        properties=_combine([found[uuid]["properties"] for uuid in present]),
        labels=sorted({label for uuid in present for label in found[uuid]["labels"]}),
    )
    return Merge(survivor, tuple(duplicates))


def _of(query: str, kind: str) -> str:
    """A query for relationships of one type, whatever it is called."""
    return query.replace("<type>", "`" + kind.replace("`", "``") + "`")


async def _run(transaction: Any, query: str, **parameters: Any) -> None:
    result = await transaction.run(query, parameters)
    await result.consume()


def _combine(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the survivor (the first) gains: attributes that only the others have, and their summaries' lines."""
    survivor = nodes[0]
    gained: dict[str, Any] = {}
    for node in nodes[1:]:
        for key, value in node.items():
            if key not in _IDENTITY and survivor.get(key) is None and value is not None:
                gained.setdefault(key, value)
    lines = dict.fromkeys(
        line.strip() for node in nodes for line in str(node.get("summary") or "").splitlines() if line.strip()
    )
    summary = ""
    for line in lines:
        if len(summary) + len(line) < _SUMMARY_CHARS:
            summary = f"{summary}\n{line}".strip()
    return {**gained, "summary": summary}
