"""Runs that somebody ends or resets in Temporal itself: PostgreSQL soon says what is true, and no node runs twice.

And the other way round: a run that has ended in PostgreSQL ends in Temporal.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from contracts.dag_probes import GATES, RAN
from contracts.dag_world import Dags, nodes, statuses
from contracts.operator import WHY, Operator
from contracts.world import PATIENCE, TRUTH
from gateway.dags.run_reader import SQL as STEPS

#: The second node waits for a gate.
TEXT = """
nodes:
  a: {{type: dag_echo, input: {{mark: a, value: 1}}}}
  b: {{type: dag_echo, input: {{mark: {gate}, value: "${{ nodes.a.result.value + 1 }}"}}}}
  c: {{type: dag_echo, input: {{mark: c, value: "${{ nodes.b.result.value + 1 }}"}}}}
outputs: {{sum: "${{ nodes.c.result.value }}"}}
"""


@pytest_asyncio.fixture
async def operator(dags: Dags) -> Operator:
    servers = dags.world.servers
    assert servers.temporal_address is not None
    return await Operator.at(servers.temporal_address, servers.temporal_namespace)


@pytest.fixture
def gate() -> str:
    return new_gate()


def new_gate() -> str:
    """A mark that waits for `GATES[gate].set()`."""
    name = secrets.token_hex(4)
    GATES[name] = asyncio.Event()
    return name


async def at_the_gate(dags: Dags, gate: str) -> str:
    """A run whose second node waits."""
    await dags.apply("gated", TEXT.format(gate=gate))
    run_id = await dags.start("gated")
    await dags.until(run_id, "b", "running")
    return run_id


async def ran_once(dags: Dags, run_id: str, document: dict[str, Any], gate: str) -> None:
    """The run and each of its nodes came to their end in the one attempt that they had."""
    assert (document["status"], document["result"]) == ("completed", {"sum": 3})
    assert RAN[dags.home.tenant_id] == ["a", gate, "c"]
    for task_id in (run_id, *(node["task_id"] for node in document["nodes"])):
        assert await dags.world.attempts(task_id) == ["completed"]


async def test_terminated(dags: Dags, operator: Operator, gate: str) -> None:
    run_id = await at_the_gate(dags, gate)
    await operator.terminate_workflow(run_id)
    document = await dags.ended(run_id)
    row = await dags.world.row(run_id)
    assert (row["status"], row["error_message"]) == ("FAILED", f"Task terminated: {WHY}")
    assert timedelta() < row["completed_at"] - await operator.closed_at(run_id, workflow=True) < TRUTH
    # What it had opened is stopped, and what it had not is not opened any more.
    waits = nodes(document)["b"]["task_id"]
    async with asyncio.timeout(PATIENCE):
        await dags.world.ended(waits)
    GATES[gate].set()
    assert await dags.world.attempts(waits) == ["stopped"]
    assert statuses(await dags.state(run_id))["c"] == "pending"
    assert RAN[dags.home.tenant_id] == ["a"]


@pytest.mark.parametrize("to_last", [False, True], ids=["to its beginning", "to its last step"])
async def test_reset_in_mid_run(dags: Dags, operator: Operator, gate: str, to_last: bool) -> None:
    run_id = await at_the_gate(dags, gate)
    await operator.reset(run_id, to_last=to_last)
    # A run that ended after the one that was reset: whoever has judged this one has judged that.
    other = await at_the_gate(dags, new_gate())
    await operator.terminate_workflow(other)
    assert (await dags.world.ended(other))["status"] == "FAILED"
    RAN[dags.home.tenant_id].remove("a")
    GATES[gate].set()
    await ran_once(dags, run_id, await dags.ended(run_id), gate)


async def test_reset_after_its_end(dags: Dags, operator: Operator, gate: str) -> None:
    GATES[gate].set()
    await dags.apply("gated", TEXT.format(gate=gate))
    run_id = await dags.start("gated")
    before = await dags.ended(run_id)
    await operator.ended(run_id)
    await operator.reset(run_id)
    await operator.ended(run_id)
    after = await dags.state(run_id)
    assert after == before
    await ran_once(dags, run_id, after, gate)


async def test_ended_in_postgresql_only(dags: Dags, operator: Operator, gate: str) -> None:
    """As when Temporal loses the answer of the last step together with the update that led to it."""
    run_id = await at_the_gate(dags, gate)
    await dags.world.database.execute(STEPS.finish_run, run_id, "failed", "It came to its end", None)
    async with asyncio.timeout(PATIENCE):
        await operator.ended(run_id)
    document = await dags.ended(run_id)
    assert (document["status"], document["error"]) == ("failed", "It came to its end")
    assert statuses(document)["c"] == "pending"
    assert await dags.world.attempts(run_id) == ["failed"]
