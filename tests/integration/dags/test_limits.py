"""Bad input and bombs, while a run is under way: each ends with a message that a person can act on."""

from __future__ import annotations

import asyncio
import secrets

import psutil
import pytest

from contracts.dag_probes import GATES
from contracts.dag_world import Dags, nodes, statuses


async def test_a_fan_out_over_a_million(dags: Dags) -> None:
    """The numbers come from an expression; the list would be larger than any limit."""
    text = """
params: {list: {type: list}}
nodes:
  many: {type: dag_echo, for_each: "params.list.map(x, params.list).map(l, l[0])", input: {mark: "${ item }"}}
"""
    document = await dags.run(text, list=list(range(601)))
    assert document["status"] == "failed"
    assert "601 items, more than 600 (TASKGATE_DAG_MAX_ITEMS)" in document["error"]
    document = await dags.run(text.replace(".map(l, l[0])", ""), list=list(range(600)))
    assert "has more than 200000 parts" in document["error"]


async def test_expressions_that_go_through_too_much(dags: Dags) -> None:
    document = await dags.run(
        """
params: {list: {type: list}}
nodes:
  slow: {type: dag_echo, when: "params.list.all(a, params.list.all(b, params.list.all(c, a + b + c >= 0)))"}
""",
        list=list(range(300)),
    )
    assert "goes through more than 10,000 items" in document["error"]


async def test_an_expression_that_takes_too_long_fails_its_node_and_nothing_else(
    dags: Dags, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A regular expression over much text: the worker, and what others run on it, go on."""
    monkeypatch.setattr("gateway.sandbox.pool.WAIT", 30)  # a busy machine may give it little of its time
    document = await dags.run(
        """
params: {list: {type: list}, words: {type: string}}
nodes:
  slow: {type: dag_echo, when: "params.list.exists(i, params.words.matches('(.{0,500}){0,2}b'))"}
  beside: {type: dag_echo, input: {mark: "${ params.list[0] }"}, on_failure: continue}
""",
        list=[1, 2, 3, 4],
        words="a" * 190_000,
    )
    assert document["status"] == "failed"
    assert "node slow failed: its expressions: it takes longer than 2 s" in document["error"].lower()
    assert statuses(document) == {"slow": "failed", "beside": "completed"}


async def test_an_expression_that_takes_much_memory_is_no_burden_to_the_worker(dags: Dags) -> None:
    before = psutil.Process().memory_info().rss
    document = await dags.run(
        "params: {list: {type: list}}\nnodes: {a: {type: dag_echo, when: 'size(params.list.map(a, 1)) > 0'}}",
        list=list(range(9_000)),
    )
    assert document["error"].startswith("Node a failed: its expressions: it ")  # time or memory, whichever ends first
    assert psutil.Process().memory_info().rss - before < 200 * 1024 * 1024


async def test_a_result_of_100_megabytes_is_handed_on_by_reference(dags: Dags) -> None:
    size = 100_000_000
    document = await dags.run(
        f"""
nodes:
  large: {{type: dag_echo, input: {{bytes: {size}}}}}
  refers: {{type: dag_echo, input: {{value: "${{ nodes.large.ref }}"}}}}
  reads: {{type: dag_echo, needs: [refers], input: {{value: "${{ nodes.large.result.text }}"}}}}
"""
    )
    assert document["status"] == "failed"
    assert statuses(document) == {"large": "completed", "refers": "completed", "reads": "failed"}
    assert "hand on `nodes.large.ref`" in document["error"]
    assert nodes(document)["large"]["result_bytes"] > size
    url = f"/gateway/v1/dag-runs/{document['run_id']}/nodes"
    reference = (await dags.http.get(f"{url}/refers/result")).json()["result"]["value"]
    assert reference["task_id"] == nodes(document)["large"]["task_id"]
    assert reference["url"] == f"{url}/large/result"


async def test_a_definition_that_changes_while_it_runs(dags: Dags) -> None:
    gate = f"gate-{secrets.token_hex(3)}"
    GATES[gate] = asyncio.Event()
    await dags.apply(
        "moving", f"nodes: {{a: {{type: dag_echo, input: {{mark: {gate}}}}}, b: {{type: dag_echo, needs: [a]}}}}"
    )
    run_id = await dags.start("moving")
    await dags.until(run_id, "a", "running")
    await dags.apply("moving", "nodes: {other: {type: dag_echo}}")
    GATES.pop(gate).set()
    document = await dags.ended(run_id)
    assert (document["version"], statuses(document)) == (1, {"a": "completed", "b": "completed"})
    assert (await dags.ended(await dags.start("moving")))["version"] == 2


async def test_a_type_whose_handler_is_gone(dags: Dags) -> None:
    document = await dags.run("nodes: {a: {type: gone_since}}")
    assert document["error"] == "Node a failed: No handler for task type 'gone_since'"


async def test_inputs_that_belong_elsewhere(dags: Dags) -> None:
    for name, value in (("group_id", "theirs"), ("tenant_id", "theirs"), ("memory_id", "m1")):
        document = await dags.run(f"nodes: {{a: {{type: dag_echo, input: {{{name}: {value}}}}}}}")
        assert f"input/{name}" in document["error"]
        assert document["status"] == "failed"


async def test_parameters_that_do_not_fit(dags: Dags) -> None:
    await dags.apply(
        "typed", "params: {n: {type: integer}, s: {type: string, default: x}}\nnodes: {a: {type: dag_echo}}"
    )
    for params, faults in (
        ({}, {"/params/n": "missing_parameter"}),
        ({"n": "1", "s": None, "z": 1}, {"/params/n": "type_mismatch", "/params/z": "unknown_parameter"}),
        ({"n": 1, "s": "x" * 300_000}, {"/params": "too_large"}),
    ):
        answer = await dags.http.post("/gateway/v1/dag-runs", json={"dag": "typed", "params": params})
        assert answer.status_code == 422
        assert {fault["place"]: fault["code"] for fault in answer.json()["faults"]} == faults


async def test_runs_of_other_tenants_are_not_there(dags: Dags) -> None:
    document = await dags.run("nodes: {a: {type: dag_echo}}")
    stranger = await dags.world.people.household()
    http = dags.world.client(stranger.owner)
    url = f"/gateway/v1/dag-runs/{document['run_id']}"
    for path in ("", "/stream", "/nodes/a/result"):
        assert (await http.get(url + path)).status_code == 404
    for path in ("/cancel", "/retry", "/nodes/a/approve", "/nodes/a/skip", "/signals/x"):
        body = {"skip": {"reason": "x"}, "approve": {"approved": True}}.get(path.rpartition("/")[2], {})
        assert (await http.post(url + path, json=body)).status_code == 404
    assert (await http.get("/gateway/v1/dag-runs")).json()["runs"] == []


async def test_a_new_history_changes_nothing(dags: Dags) -> None:
    """The worlds' runs go on under a new history after 60 events."""
    chain = "".join(
        f"  n{i}: {{type: dag_echo, needs: [{f'n{i - 1}' if i else ''}], input: {{mark: n{i}}}}}\n" for i in range(20)
    )
    document = await dags.run(f"nodes:\n{chain}")
    assert document["status"] == "completed"
    assert set(statuses(document).values()) == {"completed"}
    session = await dags.world.gateway.engines["temporal"]._connection.session()  # type: ignore[attr-defined]
    history = await session.client.get_workflow_handle(f"task-{document['run_id']}").fetch_history()
    assert history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
