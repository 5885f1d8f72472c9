"""A node of a DAG whose handler ends its worker process: it is counted as any task, and its run ends."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from contracts.people import People
from gateway.app import create_app

pytestmark = pytest.mark.parametrize("backend", ["temporal"], indirect=True, scope="module")

DAG = """
nodes:
  before: {type: sleep}
  deadly: {type: end_the_process, needs: [before]}
  after: {type: sleep, needs: [deadly]}
"""


async def test_its_run_fails_after_as_many_workers_as_a_task_may_cost(fleet: Any) -> None:
    home = await People(fleet.gateway.database).household()
    transport = httpx.ASGITransport(create_app(fleet.gateway))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway", headers=home.owner.headers, timeout=60
    ) as http:
        kind = {"Content-Type": "application/yaml"}
        answer = await http.put("/gateway/v1/dags/deadly", content=DAG, headers=kind, params={"any_types": 1})
        assert answer.status_code in (200, 201), answer.text
        answer = await http.post("/gateway/v1/dag-runs", json={"dag": "deadly", "project_id": home.project_id})
        assert answer.status_code == 202, answer.text
        run_id = answer.json()["run_id"]
        await fleet.ended(run_id)
        run = (await http.get(f"/gateway/v1/dag-runs/{run_id}")).json()
    nodes = {node["path"]: node for node in run["nodes"]}
    assert {path: node["status"] for path, node in nodes.items()} == {
        "before": "completed",
        "deadly": "failed",
        "after": "pending",
    }
    assert run["status"] == "failed"
    assert "3 workers in a row were lost while they ran this task" in run["error"]
    # Other runs of it would be the fourth and fifth, so none is asked for again.
    assert await fleet.attempts(nodes["deadly"]["task_id"]) == ["lost", "lost", "failed"]
    await fleet.whole()
