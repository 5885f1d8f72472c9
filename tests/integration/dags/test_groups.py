"""Quirk G1 where workers run: maintenance without a project works on its tenant's groups: tasks, nodes, follow-ups."""

from __future__ import annotations

import json
from typing import Any

from contracts.dag_world import Dags, statuses

MAINTAIN = """
nodes:
  merge: {type: deduplicate_entities, input: {dry_run: false}}
  rebuild: {type: rebuild_communities, needs: [merge]}
  refresh: {type: incremental_refresh, needs: [rebuild], input: {rebuild_communities: true}}
"""


async def fill(dags: Dags, *groups: str) -> None:
    """Two entities with nearly the same name in each group."""
    await dags.world.driver.execute_query(
        "UNWIND $groups AS g UNWIND ['Wonder Works', 'wonder  works'] AS name"
        " CREATE (:Entity {uuid: randomUUID(), name: name, group_id: g, created_at: datetime(), summary: 's',"
        " name_embedding: [0.1, 0.2]})",
        groups=list(groups),
    )


async def left(dags: Dags, label: str, *groups: str) -> list[int]:
    """How many of these each group has."""
    result = await dags.world.driver.execute_query(
        f"UNWIND $groups AS g RETURN COUNT {{ (:{label} {{group_id: g}}) }} AS n", groups=list(groups)
    )
    return [record["n"] for record in result.records]


async def payload_of(dags: Dags, task_id: str) -> dict[str, Any]:
    return dict(json.loads(await dags.world.database.fetchval("SELECT payload FROM task_logs WHERE id = $1", task_id)))


async def test_nodes_of_a_run_without_a_project(dags: Dags) -> None:
    other, home = await dags.world.people.household(), dags.home
    mine, foreign = (home.tenant_id, home.project_id), (other.tenant_id, other.project_id)
    await fill(dags, *mine, *foreign)
    await dags.apply("maintain", MAINTAIN)
    answer = await dags.http.post("/gateway/v1/dag-runs", json={"dag": "maintain"})
    assert answer.status_code == 202, answer.text
    document = await dags.ended(answer.json()["run_id"])
    assert statuses(document) == dict.fromkeys(("merge", "rebuild", "refresh"), "completed"), document
    assert await left(dags, "Entity", *mine, *foreign) == [1, 1, 2, 2]
    assert await left(dags, "Community", *foreign) == [0, 0]
    rows = await dags.world.database.fetch(
        "SELECT d.task_id, d.group_id FROM taskgate.dispatch d WHERE d.tenant_id = $1 AND d.task_type = ANY ($2)",
        home.tenant_id,
        ["deduplicate_entities", "rebuild_communities", "incremental_refresh"],
    )
    assert len(rows) == 4, "three nodes, and the rebuild that the refresh submits"
    for row in rows:
        assert row["group_id"] == home.tenant_id
        assert (await payload_of(dags, row["task_id"]))["group_ids"] == list(mine)


async def test_a_node_may_not_name_groups(dags: Dags) -> None:
    for node in ("type: deduplicate_entities", "type: rebuild_communities"):
        document = await dags.run(f"nodes: {{a: {{{node}, input: {{group_ids: [globex]}}}}}}")
        assert document["status"] == "failed"
        assert "group_ids" in document["nodes"][0]["reason"]


async def test_an_episode_without_a_project_through_the_new_api(dags: Dags) -> None:
    """Its group is one that graphiti takes."""
    body = {"type": "add_episode", "payload": {"content": "Alice works at Acme.", "name": "n"}}
    answer = await dags.http.post("/gateway/v1/tasks", json=body)
    task = await dags.world.ended(answer.json()["task_id"])
    assert task["status"] == "COMPLETED", task["error_message"]
    assert await left(dags, "Episodic", dags.home.tenant_id) == [1]
    assert await left(dags, "Entity", dags.home.tenant_id) == [2]
