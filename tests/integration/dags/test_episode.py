"""The built-in DAG of episodes: the graph that it leaves is the one that the unmodified handler leaves."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

from contracts.dag_world import Dags, DagWorld, nodes, statuses
from contracts.people import Household

EPISODES = (
    "Ada Lovelace met Charles Babbage in London. Charles Babbage designed the Analytical Engine.",
    "Ada Lovelace wrote notes about the Analytical Engine. She corresponded with Michael Faraday.",
    "nothing to see here",
)

_ENTITIES = """
MATCH (n:Entity {group_id: $group}) RETURN n.name AS name, n.summary AS summary, n.status AS status,
    [label IN labels(n) WHERE label <> 'Entity'] AS labels, COUNT { (:Episodic)-[:MENTIONS]->(n) } AS mentions,
    n.project_id = $group AS is_placed ORDER BY name
"""
_FACTS = """
MATCH (a:Entity {group_id: $group})-[r:RELATES_TO]->(b:Entity)
RETURN a.name AS source, b.name AS target, r.name AS name, r.fact AS fact, size(r.episodes) AS episodes,
    r.invalid_at IS NULL AS holds ORDER BY source, target, name, fact
"""
_EPISODES = """
MATCH (e:Episodic {group_id: $group}) RETURN e.content AS content, e.name AS name, e.status AS status,
    e.source AS source, size(e.entity_edges) AS facts ORDER BY content
"""
_COMMUNITIES = """
MATCH (c:Community {group_id: $group}) RETURN c.member_count AS members,
    [(c)-[:HAS_MEMBER]->(n) | n.name] AS names ORDER BY members
"""


async def graph_of(world: DagWorld, group: str) -> dict[str, Any]:
    driver = world.driver
    found: dict[str, Any] = {}
    for name, query in (
        ("entities", _ENTITIES),
        ("facts", _FACTS),
        ("episodes", _EPISODES),
        ("communities", _COMMUNITIES),
    ):
        result = await driver.execute_query(query, group=group)
        found[name] = [dict(record) for record in result.records]
    for community in found["communities"]:
        community["names"] = sorted(community["names"])
    return found


def episode(home: Household, content: str) -> dict[str, Any]:
    return {
        "content": content,
        "name": content[:20],
        "source_description": "test",
        "episode_type": "text",
        "uuid": str(uuid.uuid4()),
    }


async def submit(http: httpx.AsyncClient, home: Household, content: str) -> str:
    body = {"type": "add_episode", "payload": episode(home, content), "project_id": home.project_id}
    answer = await http.post("/gateway/v1/tasks", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


async def test_the_graph_equals_that_of_the_handler(dags: Dags) -> None:
    """By setting, one tenant's episodes run as the DAG; another tenant's as the handler."""
    world, stepped = dags.world, dags.home
    whole = await world.people.household()
    for content in EPISODES:
        row = await world.ended(await submit(world.client(whole.owner), whole, content))
        assert row["status"] == "COMPLETED", row["error_message"]
    async with (
        world.another_gateway(episode_dag_tenants=[stepped.tenant_id]) as url,
        httpx.AsyncClient(base_url=url, headers=stepped.owner.headers) as http,
    ):
        for content in EPISODES:
            task_id = await submit(http, stepped, content)
            row = await world.ended(task_id)
            assert row["status"] == "COMPLETED", row["error_message"]
            assert row["task_type"] == "add_episode"
        document = (await http.get(f"/gateway/v1/dag-runs/{task_id}")).json()
    assert (document["dag"], document["built_in"], document["status"]) == ("episode", True, "completed")
    assert set(statuses(document)) == {
        *("extract_entities", "extract_relations", "validate_embedding", "deduplicate"),
        *("update_communities", "sync_metadata", "complete"),
    }
    mine, theirs = await graph_of(world, stepped.project_id), await graph_of(world, whole.project_id)
    assert len(theirs["entities"]) > 4
    assert len(theirs["facts"]) > 1
    for part, found in theirs.items():
        assert mine[part] == found


async def test_a_run_by_name_asks_ahead_and_skips_communities_without_a_change(dags: Dags) -> None:
    given = episode(dags.home, EPISODES[0])
    document = await dags.ended(await dags.start("episode", episode=given))
    assert document["status"] == "completed", document["error"]
    result = (await dags.http.get(f"/gateway/v1/dag-runs/{document['run_id']}/nodes/deduplicate/result")).json()[
        "result"
    ]
    # What graphiti asked of the language model for the extraction was answered by the two steps before.
    assert result["answered_ahead"] >= 2
    assert document["result"]["entities"] == len(result["entities"])
    nothing = await dags.ended(await dags.start("episode", episode=episode(dags.home, EPISODES[2])))
    assert nothing["status"] == "completed", nothing["error"]
    found = nodes(nothing)
    assert (found["update_communities"]["status"], found["update_communities"]["condition"]) == ("skipped", False)
    assert found["sync_metadata"]["status"] == "completed"
