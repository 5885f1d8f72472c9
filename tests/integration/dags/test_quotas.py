"""Nodes obey what any task obeys: the quota of running tasks, pauses, the tenant's tier, priorities."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from typing import Any

from contracts.dag_probes import GATES, RAN
from contracts.dag_world import Dags, nodes
from contracts.world import PATIENCE
from workers.testing.waiting import eventually

FAN = """
nodes:
  each: {{type: dag_echo, for_each: "[0, 1, 2, 3]", priority: 1, input: {{mark: {gate}, value: "${{ item }}"}}}}
  last: {{type: dag_echo, input: {{mark: last, value: "${{ nodes.each.results.map(r, r.value) }}"}}}}
outputs: {{all: "${{ nodes.last.result.value }}"}}
"""


async def tasks_until(dags: Dags, run_id: str, count: int, **wanted: Any) -> list[Any]:
    """The nodes' tasks, once so many of them say this."""
    query = "SELECT * FROM taskgate.dispatch WHERE dag_run_id = $1 AND task_id <> $1 ORDER BY created_at"

    async def read() -> list[Any]:
        rows = await dags.world.database.fetch(query, run_id)
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]

    return await eventually(read, lambda found: len(found) == count, within=PATIENCE)


async def change(dags: Dags, method: str, path: str, body: Any = None) -> Any:
    answer = await dags.world.client(dags.world.admin).request(method, f"/gateway/v1/{path}", json=body)
    assert answer.is_success, answer.text
    return answer


async def test_the_quota_of_running_tasks_holds_nodes_and_no_worker(dags: Dags) -> None:
    gate = f"gate-{secrets.token_hex(3)}"
    GATES[gate] = asyncio.Event()
    await change(dags, "PUT", f"tenants/{dags.home.tenant_id}/quotas", {"running": 1, "per_minute": 1, "why": "test"})
    await dags.apply("fan", FAN.format(gate=gate))
    run_id = await dags.start("fan")
    await tasks_until(dags, run_id, 1, state="running")
    await tasks_until(dags, run_id, 3, state="waiting", held="quota:running")
    # The worker has three slots; two of them are free for others.
    other = Dags(dags.world, await dags.world.people.household())
    assert (await other.run("nodes: {a: {type: dag_echo, input: {mark: other}}}"))["status"] == "completed"
    assert len(await tasks_until(dags, run_id, 3, state="waiting", held="quota:running")) == 3
    GATES.pop(gate).set()
    document = await dags.ended(run_id)
    assert (document["status"], document["result"]) == ("completed", {"all": [0, 1, 2, 3]}), document["error"]
    assert RAN[dags.home.tenant_id] == [gate] * 4 + ["last"]
    # One after the other: no two claims overlap.
    rows = await tasks_until(dags, run_id, 5, state="completed")
    spans = sorted((row["claimed_at"], row["finished_at"]) for row in rows)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    # The run was charged for, its nodes are not: a second run in this minute is over the quota.
    answer = await dags.http.post("/gateway/v1/dag-runs", json={"dag": "fan", "project_id": dags.home.project_id})
    assert (answer.status_code, answer.json()["quota"]) == (429, "per_minute")


async def test_pauses_hold_nodes(dags: Dags) -> None:
    gate = f"gate-{secrets.token_hex(3)}"
    GATES[gate] = asyncio.Event()
    await dags.apply(
        "paused", f"nodes: {{a: {{type: dag_echo, input: {{mark: {gate}}}}}, b: {{type: dag_echo, needs: [a]}}}}"
    )
    run_id = await dags.start("paused")
    await dags.until(run_id, "a", "running")
    body = {"tenant_id": dags.home.tenant_id, "task_type": "dag_echo", "why": "test"}
    pause_id = (await change(dags, "POST", "pauses", body)).json()["pause_id"]
    GATES.pop(gate).set()
    await tasks_until(dags, run_id, 1, state="waiting", held=f"paused:{pause_id}")
    assert nodes(await dags.state(run_id))["a"]["status"] == "completed"
    await change(dags, "DELETE", f"pauses/{pause_id}")
    assert (await dags.ended(run_id))["status"] == "completed"


async def test_tier_and_priority_are_those_of_tasks(dags: Dags) -> None:
    for tier, queue in (("enterprise", f"tenant-{dags.home.tenant_id}-dag_echo"), ("standard", "shared-dag_echo")):
        await change(dags, "PUT", f"tenants/{dags.home.tenant_id}", {"tier": tier, "why": "test"})
        document = await dags.run(FAN.format(gate="none"))
        assert document["status"] == "completed", document["error"]
        rows = await tasks_until(dags, document["run_id"], 5)
        assert {row["queue"] for row in rows} == {queue}
        assert sorted(row["priority"] for row in rows) == [1, 1, 1, 1, 3]
