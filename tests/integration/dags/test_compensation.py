"""Compensation ends by a deadline, names what it could not undo, and its history stays short."""

from __future__ import annotations

import asyncio
import secrets
import time

import pytest

from contracts.dag_probes import FAILURES, GATES, RAN
from contracts.dag_world import Dags, nodes, statuses
from contracts.least import least


@pytest.mark.parametrize("limit", ["deadline_seconds", "compensation_seconds"])
async def test_it_ends_by_its_deadline_and_names_what_was_not_undone(dags: Dags, limit: str) -> None:
    async def measure() -> float:
        """Seconds from its beginning to its end."""
        gate = f"gate-{secrets.token_hex(3)}"
        GATES[gate] = asyncio.Event()
        began = time.monotonic()
        document = await dags.run(
            f"""
{limit}: 3
nodes:
  first: {{type: dag_echo, compensate: {{type: dag_undo}}}}
  second: {{type: dag_echo, needs: [first], compensate: {{type: dag_undo, input: {{mark: {gate}}}}}}}
  last: {{type: gone_since, needs: [second], on_failure: compensate}}
"""
        )
        seconds = time.monotonic() - began
        assert document["status"] == "failed"
        assert document["error"] == (
            "Node last failed: No handler for task type 'gone_since'; not undone by the deadline: first, second"
        )
        assert statuses(document)["second~undo"] != "completed"
        GATES.pop(gate).set()
        return seconds

    assert await least(measure, 10) < 10


async def test_an_undoing_that_fails_is_named(dags: Dags) -> None:
    document = await dags.run(
        """
nodes:
  first: {type: dag_echo, compensate: {type: gone_since}}
  last: {type: gone_since, needs: [first], on_failure: compensate}
"""
    )
    assert document["error"].endswith("; not undone: first")


async def events_of_the_last_history(dags: Dags, run_id: str) -> int:
    """It continues an earlier one."""
    session = await dags.world.gateway.engines["temporal"]._connection.session()  # type: ignore[attr-defined]
    history = await session.client.get_workflow_handle(f"task-{run_id}").fetch_history()
    assert history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
    return len(history.events)


async def test_it_goes_on_under_a_new_history(dags: Dags) -> None:
    """Fifty nodes to undo, and a limit of 60 events."""
    marks = [f"undo-{secrets.token_hex(3)}-{number}" for number in range(50)]
    nodes = [
        f"  n{number}: {{type: dag_echo, compensate: {{type: dag_undo, input: {{mark: {mark}}}}}}}"
        for number, mark in enumerate(marks)
    ]
    needs = ", ".join(f"n{number}" for number in range(50))
    document = await dags.run(
        "nodes:\n" + "\n".join(nodes) + f"\n  last: {{type: gone_since, needs: [{needs}], on_failure: compensate}}"
    )
    assert document["error"] == "Node last failed: No handler for task type 'gone_since'"
    ran = [mark for found in RAN.values() for mark in found]
    assert [ran.count(mark) for mark in marks] == [1] * 50
    assert await events_of_the_last_history(dags, document["run_id"]) < 200


async def test_the_items_of_a_fan_out_are_undone_once_each_under_new_histories(dags: Dags) -> None:
    """A node of 75 items, which are undone at once: more events than a history may have."""
    do, undo = f"do-{secrets.token_hex(3)}", f"undo-{secrets.token_hex(3)}"
    document = await dags.run(
        f"""
params: {{list: {{type: list}}}}
nodes:
  many:
    type: dag_echo
    for_each: params.list
    input: {{mark: {do}}}
    compensate: {{type: dag_undo, input: {{mark: {undo}}}}}
  last: {{type: gone_since, needs: [many], on_failure: compensate}}
""",
        list=list(range(75)),
    )
    assert document["error"] == "Node last failed: No handler for task type 'gone_since'"
    ran = [mark for found in RAN.values() for mark in found]
    assert (ran.count(do), ran.count(undo)) == (75, 75)
    assert await events_of_the_last_history(dags, document["run_id"]) < 200


@pytest.mark.parametrize("on_failure", ["compensate", "continue"])
async def test_the_completed_items_of_a_fan_out_with_a_failed_one_are_undone(dags: Dags, on_failure: str) -> None:
    """Its own failure, or that of a later node."""
    bad = f"bad-{secrets.token_hex(3)}"
    FAILURES[bad] = 1
    document = await dags.run(
        f"""
params: {{list: {{type: list}}}}
nodes:
  first: {{type: dag_echo, input: {{mark: first}}, compensate: {{type: dag_undo, input: {{mark: undo first}}}}}}
  book:
    type: dag_echo
    needs: [first]
    for_each: params.list
    input: {{mark: "${{ item }}"}}
    retry: {{attempts: 1}}
    on_failure: {on_failure}
    compensate: {{type: dag_undo, input: {{mark: "undo ${{ item }}"}}}}
  last: {{type: gone_since, needs: [book], on_failure: compensate}}
""",
        list=["a", "b", "c", bad],
    )
    assert document["error"].startswith("Node book[3] failed" if on_failure == "compensate" else "Node last failed")
    ran = RAN[dags.home.tenant_id]
    assert sorted(ran[5:8]) == ["undo a", "undo b", "undo c"]
    assert ran[8:] == ["undo first"]
    assert {statuses(document)[f"book[{n}]~undo"] for n in range(3)} == {"completed"}


async def test_a_retry_after_it_reads_the_results_of_the_new_start_in_the_order_of_the_nodes(dags: Dags) -> None:
    FAILURES["use 1"] = 1
    document = await dags.run(
        """
nodes:
  create:
    type: dag_echo
    input: {mark: create, counts: true}
    compensate: {type: dag_undo, input: {mark: "undo ${ nodes.create.result.value }"}}
  book:
    type: dag_echo
    needs: [create]
    for_each: "['x', 'y']"
    input: {mark: "${ item } ${ nodes.create.result.value }"}
    compensate: {type: dag_undo, input: {mark: "undo ${ item }"}}
  use:
    type: dag_echo
    needs: [book]
    input: {mark: "use ${ nodes.create.result.value }"}
    retry: {attempts: 1}
    on_failure: compensate
"""
    )
    assert document["status"] == "failed"
    assert (await dags.post(f"{document['run_id']}/retry")).status_code == 200
    document = await dags.ended(document["run_id"])
    assert document["status"] == "completed", document
    ran = RAN[dags.home.tenant_id]
    before, after = ran[:7], ran[7:]
    assert (before[0], sorted(before[1:3]), before[3], before[6]) == ("create", ["x 1", "y 1"], "use 1", "undo 1")
    assert (after[0], sorted(after[1:3]), after[3:]) == ("create", ["x 2", "y 2"], ["use 2"])


async def test_a_node_whose_input_cannot_be_computed_anew_is_decided_anew_by_the_next_retry(dags: Dags) -> None:
    FAILURES["c"] = 1
    document = await dags.run(
        """
nodes:
  a: {type: dag_echo, input: {mark: a, counts: true}, compensate: {type: dag_undo}}
  b:
    type: dag_echo
    needs: [a]
    input: {mark: "b ${ [0, 1, 1 / (nodes.a.result.value - 2), 3][nodes.a.result.value] }"}
    compensate: {type: dag_undo}
    on_failure: compensate
  c: {type: dag_echo, needs: [b], input: {mark: c}, retry: {attempts: 1}, on_failure: compensate}
"""
    )
    run_id = document["run_id"]
    for expected in ("failed", "completed"):
        assert (await dags.post(f"{run_id}/retry")).status_code == 200
        document = await dags.ended(run_id)
        assert document["status"] == expected, document
        if expected == "failed":
            assert document["error"] == "Node b failed: divide by zero"


async def test_a_node_that_is_refused_anew_hands_on_nothing_of_what_was_undone(dags: Dags) -> None:
    """Its task has still the result of the run before, and what went wrong then."""
    FAILURES["b"] = 1
    document = await dags.run(
        """
nodes:
  m: {type: dag_echo, input: {mark: m, counts: true}, compensate: {type: dag_undo}}
  x:
    type: dag_echo
    input: {mark: x, value: "${ 10 / (nodes.m.result.value - 2) }"}
    compensate: {type: dag_undo}
    on_failure: continue
  y:
    type: dag_echo
    for_each: "[0, 1]"
    input: {mark: y, value: "${ item / (nodes.m.result.value - 2) }"}
    compensate: {type: dag_undo}
    on_failure: continue
  b:
    type: dag_echo
    needs: [x, y]
    input: {mark: b, value: "${ [nodes.x.status, nodes.x.error, nodes.x.result, nodes.y.status, nodes.y.results] }"}
    retry: {attempts: 1}
    on_failure: compensate
outputs: {b: "${ nodes.b.result.value }"}
"""
    )
    assert document["status"] == "failed"
    run_id = document["run_id"]
    assert (await dags.post(f"{run_id}/retry")).status_code == 200
    document = await dags.ended(run_id)
    assert document["result"] == {"b": ["failed", "divide by zero", None, "failed", [None, None]]}, document["error"]
    found = nodes(document)
    assert (found["x"]["status"], found["x"]["result_bytes"]) == ("failed", None)
    items = {"total": 2, "opened": 2, "running": 0, "completed": 0, "failed": 2}
    assert (found["y"]["status"], found["y"]["items"]) == ("failed", items)
    for path, status, result in (("x", "refused", None), ("y[0]", "refused", None), ("y", "expanded", [None, None])):
        answer = (await dags.http.get(f"/gateway/v1/dag-runs/{run_id}/nodes/{path}/result")).json()
        assert (answer["status"], answer["result"]) == (status, result), path


async def test_a_node_that_failed_and_is_refused_anew_says_why_it_is_refused(dags: Dags) -> None:
    FAILURES["b"] = 1
    document = await dags.run(
        """
nodes:
  m: {type: dag_echo, input: {mark: m, counts: true}, compensate: {type: dag_undo}}
  b:
    type: dag_echo
    needs: [m]
    input: {mark: b, value: "${ 10 / (nodes.m.result.value - 2) }"}
    retry: {attempts: 1}
    on_failure: compensate
"""
    )
    assert nodes(document)["b"]["error"].endswith("b was told to fail")
    assert (await dags.post(f"{document['run_id']}/retry")).status_code == 200
    document = await dags.ended(document["run_id"])
    assert nodes(document)["b"]["error"] == "divide by zero"


async def test_what_waits_to_run_again_was_undone_already_and_may_be_skipped(dags: Dags) -> None:
    """A retry after a compensation fails as well, while items of a fan-out have not run again."""
    FAILURES["end"] = 1
    document = await dags.run(
        """
nodes:
  y:
    type: dag_echo
    for_each: "[0, 1, 2, 3]"
    max_parallel: 1
    input: {mark: "item ${ item }"}
    compensate: {type: dag_undo, input: {mark: "undo ${ item }"}}
    retry: {attempts: 1}
    on_failure: compensate
  end: {type: dag_echo, needs: [y], input: {mark: end}, retry: {attempts: 1}, on_failure: compensate}
"""
    )
    run_id, ran = document["run_id"], RAN[dags.home.tenant_id]
    assert sorted(ran[5:]) == [f"undo {item}" for item in range(4)]
    GATES["item 1"], FAILURES["item 1"] = asyncio.Event(), 1
    try:
        assert (await dags.post(f"{run_id}/retry")).status_code == 200
        await dags.until(run_id, "y[1]", "running")
        assert (await dags.until(run_id, "y[3]", "pending"))["attempt"] == 1
        assert (await dags.post(f"{run_id}/nodes/y[3]/skip", {"reason": "not again"})).status_code == 200
        GATES["item 1"].set()
        document = await dags.ended(run_id)
    finally:
        del GATES["item 1"]
    assert (document["status"], statuses(document)["y[3]"]) == ("failed", "skipped")
    assert ran[9:] == ["item 0", "item 1", "undo 0"]
