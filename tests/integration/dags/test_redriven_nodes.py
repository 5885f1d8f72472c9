"""Nodes whose failure their run knows, and that somebody runs again by themselves: the run hears how they end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

import pytest

from contracts.dag_probes import FAILURES, GATES, RAN
from contracts.dag_world import Dags, nodes, statuses
from contracts.world import PATIENCE
from workers.testing.waiting import eventually


@pytest.fixture
def gate() -> Iterator[str]:
    """A mark whose first run fails."""
    name = f"gate-{secrets.token_hex(3)}"
    FAILURES[name] = 1
    yield name
    GATES.pop(name, asyncio.Event()).set()


async def redrive(dags: Dags, run_id: str, path: str, gate: str) -> None:
    """Run the failed node again; return when it waits at its gate."""
    GATES[gate] = asyncio.Event()
    task_id = nodes(await dags.state(run_id))[path]["task_id"]

    async def told() -> bool:
        query = "SELECT told FROM taskgate.dag_node WHERE run_id = $1 AND path = $2"
        return bool(await dags.world.database.fetchval(query, run_id, path))

    await eventually(told, within=PATIENCE)
    answer = await dags.http.post(f"/gateway/v1/dead-letters/{task_id}/redrive", json={})
    assert answer.status_code in (200, 202), answer.text
    await dags.until(run_id, path, "running")


async def test_a_node_that_was_redriven_before_its_run_was_retried(dags: Dags, gate: str) -> None:
    await dags.apply(
        "redriven",
        f"""
nodes:
  a: {{type: dag_echo, input: {{mark: {gate}, value: 1}}, retry: {{attempts: 1}}}}
  b: {{type: dag_echo, input: {{mark: b, value: "${{ nodes.a.result.value + 1 }}"}}}}
outputs: {{b: "${{ nodes.b.result.value }}"}}
""",
    )
    run_id = await dags.start("redriven")
    assert (await dags.ended(run_id))["status"] == "failed"
    await redrive(dags, run_id, "a", gate)
    assert (await dags.post(f"{run_id}/retry")).status_code == 200
    await eventually(lambda: dags.state(run_id), lambda document: document["status"] == "running", within=PATIENCE)
    GATES[gate].set()
    document = await dags.ended(run_id)
    assert (document["status"], document["result"]) == ("completed", {"b": 2})
    assert RAN[dags.home.tenant_id] == [gate, gate, "b"]


async def test_an_item_that_was_redriven_while_its_run_goes_on(dags: Dags, gate: str) -> None:
    """The new history, under which the run goes on, takes the item for one that is open."""
    other = f"gate-{secrets.token_hex(3)}"
    GATES[other] = asyncio.Event()
    await dags.apply(
        "redriven",
        """
params: {list: {type: list}}
nodes:
  each:
    type: dag_echo
    for_each: params.list
    max_parallel: 1
    input: {mark: "${ item }"}
    retry: {attempts: 1}
    on_failure: continue
outputs: {failed: "${ nodes.each.failed }"}
""",
    )
    run_id = await dags.start("redriven", list=[gate, other, *(str(number) for number in range(30))])
    await eventually(
        lambda: dags.state(run_id), lambda document: statuses(document).get("each[1]") == "running", within=PATIENCE
    )
    await redrive(dags, run_id, "each[0]", gate)
    GATES.pop(other).set()
    session = await dags.world.gateway.engines["temporal"]._connection.session()  # type: ignore[attr-defined]

    async def goes_on() -> bool:
        first, *rest = (await session.client.get_workflow_handle(f"task-{run_id}").fetch_history()).events
        is_new = bool(first.workflow_execution_started_event_attributes.continued_execution_run_id)
        return is_new and any(event.HasField("marker_recorded_event_attributes") for event in rest)

    await eventually(goes_on, within=PATIENCE)
    GATES[gate].set()
    document = await dags.ended(run_id)
    assert (document["status"], document["result"]) == ("completed", {"failed": 0})
