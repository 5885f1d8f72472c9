"""What people, and other systems, say to a run while it goes on: approvals, signals, stops, nodes to be passed over."""

from __future__ import annotations

import asyncio
import secrets

from contracts.dag_probes import GATES
from contracts.dag_world import Dags, nodes, statuses
from workers.testing.waiting import eventually


async def test_approval_first_answer_counts(dags: Dags) -> None:
    await dags.apply(
        "asks", "nodes: {ok: {approval: {message: go?}}, a: {type: dag_echo, needs: [ok], input: {mark: a}}}"
    )
    run_id = await dags.start("asks")
    node = await dags.until(run_id, "ok", "waiting")
    assert node["waits_for"] == "waits for approval"
    answers = await asyncio.gather(
        *(dags.post(f"{run_id}/nodes/ok/approve", {"approved": True, "comment": f"by {n}"}) for n in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert "approved already, by owner-" in refused.json()["detail"]
    document = await dags.ended(run_id)
    assert document["status"] == "completed"
    assert nodes(document)["ok"]["answer"]["by"] == dags.home.owner.user_id

    run_id = await dags.start("asks")
    await dags.until(run_id, "ok", "waiting")
    await dags.post(f"{run_id}/nodes/ok/approve", {"approved": False, "comment": "too early"})
    document = await dags.ended(run_id)
    assert document["status"] == "failed"
    assert "too early" in document["error"]
    # No handler would take it: it is a question to people, which only the run asks again.
    task_id = nodes(document)["ok"]["task_id"]
    refused = await dags.world.client(dags.home.owner).post(f"/api/v1/tasks/{task_id}/retry")
    assert (refused.status_code, run_id in refused.json()["detail"]) == (400, True), refused.text
    refused = await dags.world.client(dags.home.owner).post(f"/gateway/v1/dead-letters/{task_id}/redrive", json={})
    assert (refused.status_code, run_id in refused.json()["detail"]) == (409, True), refused.text
    assert (await dags.post(f"{run_id}/retry")).status_code == 200
    await dags.until(run_id, "ok", "waiting")
    await dags.post(f"{run_id}/nodes/ok/approve", {"approved": True})
    assert (await dags.ended(run_id))["status"] == "completed"


async def test_signals_before_and_after_their_node_waits(dags: Dags) -> None:
    gate = f"gate-{secrets.token_hex(3)}"
    GATES[gate] = asyncio.Event()
    await dags.apply(
        "signalled",
        f"""
nodes:
  first: {{type: dag_echo, input: {{mark: {gate}}}}}
  early: {{signal: {{name: early}}, needs: [first]}}
  late: {{signal: {{name: late}}, needs: [early]}}
outputs: {{early: "${{ nodes.early.result }}", late: "${{ nodes.late.result.n }}"}}
""",
    )
    run_id = await dags.start("signalled")
    await dags.until(run_id, "first", "running")
    assert (await dags.post(f"{run_id}/signals/early", "soon")).json() == {"nodes": []}
    GATES[gate].set()
    await dags.until(run_id, "late", "waiting")
    assert (await dags.post(f"{run_id}/signals/late", {"n": 3})).json() == {"nodes": ["late"]}
    assert (await dags.ended(run_id))["result"] == {"early": "soon", "late": 3}
    assert (await dags.post(f"{run_id}/signals/late", {})).status_code == 409


async def test_a_signal_that_came_early_reaches_one_node_and_the_next_one_another(dags: Dags) -> None:
    gates = [f"gate-{secrets.token_hex(3)}" for _ in range(2)]
    GATES.update({gate: asyncio.Event() for gate in gates})
    await dags.apply(
        "twice",
        f"""
nodes:
  a: {{type: dag_echo, input: {{mark: {gates[0]}}}}}
  one: {{signal: {{name: go}}, needs: [a]}}
  b: {{type: dag_echo, input: {{mark: {gates[1]}}}, needs: [one]}}
  two: {{signal: {{name: go}}, needs: [b]}}
outputs: {{one: "${{ nodes.one.result }}", two: "${{ nodes.two.result }}"}}
""",
    )
    run_id = await dags.start("twice")
    for number, gate in enumerate(gates, 1):
        await dags.until(run_id, "ab"[number - 1], "running")
        assert (await dags.post(f"{run_id}/signals/go", number)).json() == {"nodes": []}
        GATES[gate].set()
    assert (await dags.ended(run_id))["result"] == {"one": 1, "two": 2}


async def test_a_signal_whose_payload_is_sent_as_something_else_is_none(dags: Dags) -> None:
    await dags.apply("typed", "nodes: {go: {signal: {name: go}}}\noutputs: {ok: '${ nodes.go.result.ok }'}")
    run_id = await dags.start("typed")
    await dags.until(run_id, "go", "waiting")
    path = f"/gateway/v1/dag-runs/{run_id}/signals/go"
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "application/octet-stream"):
        answer = await dags.http.post(path, content=b'{"ok": true}', headers={"Content-Type": content_type})
        assert answer.status_code == 422, answer.text
    assert nodes(await dags.state(run_id))["go"]["status"] == "waiting"
    assert (await dags.http.post(path, json={"ok": True})).json() == {"nodes": ["go"]}
    assert (await dags.ended(run_id))["result"] == {"ok": True}


async def test_a_signal_that_did_not_come_is_waited_for_again(dags: Dags) -> None:
    await dags.apply(
        "impatient",
        "nodes: {late: {signal: {name: late, timeout_seconds: 3}}}\noutputs: {n: '${ nodes.late.result.n }'}",
    )
    run_id = await dags.start("impatient")
    assert (await dags.ended(run_id))["status"] == "failed"
    assert (await dags.post(f"{run_id}/retry")).status_code == 200
    node = await dags.until(run_id, "late", "waiting")
    assert node["waits_for"] == "waits for a signal"
    assert (await dags.post(f"{run_id}/signals/late", {"n": 3})).json() == {"nodes": ["late"]}
    assert (await dags.ended(run_id))["result"] == {"n": 3}


async def test_cancel_and_skip(dags: Dags) -> None:
    gate = f"gate-{secrets.token_hex(3)}"
    GATES[gate] = asyncio.Event()
    await dags.apply(
        "held",
        f"""
nodes:
  a: {{type: dag_echo, input: {{mark: {gate}}}}}
  b: {{type: dag_echo, needs: [a], input: {{mark: b}}}}
  c: {{type: dag_echo, needs: [b], input: {{mark: c}}}}
""",
    )
    run_id = await dags.start("held")
    await dags.until(run_id, "a", "running")
    assert (await dags.post(f"{run_id}/nodes/b/skip", {"reason": "not today"})).status_code == 200
    assert (await dags.post(f"{run_id}/cancel")).json()["status"] == "cancelled"
    document = await dags.ended(run_id)
    assert statuses(document) == {"a": "cancelled", "b": "skipped", "c": "pending"}
    assert (await dags.post(f"{run_id}/cancel")).status_code == 409
    # The cancelled run goes on, without what was skipped.
    GATES.pop(gate).set()
    assert (await dags.post(f"{run_id}/retry")).status_code == 200
    document = await dags.ended(run_id)
    assert document["status"] == "completed"
    assert statuses(document) == {"a": "completed", "b": "skipped", "c": "completed"}
    assert (nodes(document)["b"]["reason"], nodes(document)["b"]["decided_by"]) == (
        "not today",
        f"user:{dags.home.owner.user_id}",
    )


async def test_an_item_that_a_fan_out_does_not_have_is_not_skipped(dags: Dags) -> None:
    gate = f"gate-{secrets.token_hex(3)}"
    GATES[gate] = asyncio.Event()
    await dags.apply(
        "fan",
        f"""
nodes:
  each: {{type: dag_echo, for_each: "[1, 2, 3]", input: {{mark: {gate}, value: "${{ item }}"}}}}
  sum: {{type: dag_echo, needs: [each], input: {{mark: sum, value: "${{ nodes.each.results.map(r, r == null) }}"}}}}
outputs:
  all: "${{ nodes.sum.result.value }}"
  each: "${{ [nodes.each.status, string(nodes.each.failed)] }}"
""",
    )
    run_id = await dags.start("fan")
    await eventually(lambda: dags.state(run_id), lambda document: statuses(document).get("each[2]") == "running")
    for position in (3, 99, 999_999_999, 2**31):
        answer = await dags.post(f"{run_id}/nodes/each[{position}]/skip", {"reason": "no"})
        assert answer.status_code == 404, answer.text
    assert (await dags.post(f"{run_id}/nodes/each[1]/skip", {"reason": "no"})).status_code == 200
    GATES[gate].set()
    document = await dags.ended(run_id)
    assert document["result"] == {"all": [False, True, False], "each": ["completed", "0"]}
    assert statuses(document)["each"] == "completed", "what is skipped counts as done"
    assert (await dags.http.get(f"/gateway/v1/dag-runs/{run_id}/nodes/each/result")).json()["result"][1] is None
