"""Reads a group back out of the graph: for tests, and for whoever wants to look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.graph.duplicates import QueryDriver

_ENTITIES = """
MATCH (n:Entity {group_id: $group_id})
RETURN n.uuid AS uuid, n.name AS name, labels(n) AS labels, properties(n) AS properties ORDER BY name, uuid
"""
_FACTS = """
MATCH (a:Entity)-[r:RELATES_TO {group_id: $group_id}]->(b:Entity)
RETURN r.uuid AS uuid, a.name AS source, r.name AS name, b.name AS target, r.fact AS fact, r.episodes AS episodes
ORDER BY source, name, target, uuid
"""
_EPISODES = """
MATCH (e:Episodic {group_id: $group_id})
RETURN properties(e) AS properties, [(e)-[:MENTIONS]->(n:Entity) | n.name] AS mentions ORDER BY e.created_at
"""
_COMMUNITIES = """
MATCH (c:Community {group_id: $group_id})
RETURN properties(c) AS properties, [(c)-[:HAS_MEMBER]->(n:Entity) | n.name] AS members ORDER BY c.name
"""


@dataclass(frozen=True, slots=True)
class GroupGraph:
    """Everything of one group, as plain values (vectors left out)."""

    entities: list[dict[str, Any]]
    facts: list[dict[str, Any]]
    episodes: list[dict[str, Any]]
    communities: list[dict[str, Any]]

    @property
    def names(self) -> list[str]:
        return [entity["name"] for entity in self.entities]

    @property
    def triples(self) -> list[tuple[str, str, str]]:
        return [(fact["source"], fact["name"], fact["target"]) for fact in self.facts]


async def read_group(driver: QueryDriver, group_id: str) -> GroupGraph:
    """Read entities, facts, episodes with their mentions and communities with their members."""
    rows = [
        [_plain(record) for record in (await driver.execute_query(query, group_id=group_id, routing_="r")).records]
        for query in (_ENTITIES, _FACTS, _EPISODES, _COMMUNITIES)
    ]
    return GroupGraph(*rows)


def _plain(record: Any) -> dict[str, Any]:
    row = dict(record)
    properties = {key: value for key, value in dict(row.pop("properties", {})).items() if "embedding" not in key}
    for names in ("mentions", "members"):
        if names in row:
            row[names] = sorted(row[names])
    return {**properties, **row}
