"""Runs on a real Temporal: order, values, branches, fan-out, failures, people."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from contracts.dag_probes import FAILURES, GATES, RAN
from contracts.dag_world import Dags, DagWorld, nodes, statuses

CHAIN = """
params: {n: {type: integer, default: 2}}
nodes:
  a: {type: dag_echo, input: {mark: a, value: "${ params.n }"}}
  b: {type: dag_echo, input: {mark: b, value: "${ nodes.a.result.value + 1 }"}}
  c: {type: dag_echo, needs: [a], when: nodes.a.result.value > 10, input: {mark: c}}
  d: {type: dag_echo, needs: [c], input: {mark: d}}
  e: {type: dag_echo, needs: [b, d], input: {mark: e, value: "b gave ${ nodes.b.result.value }, c ${ nodes.c.status }"}}
outputs: {text: "${ nodes.e.result.value }"}
"""


async def test_values_conditions_and_skipped_branches(dags: Dags) -> None:
    document = await dags.run(CHAIN)
    assert document["status"] == "completed", document["error"]
    assert document["result"] == {"text": "b gave 3, c skipped"}
    assert statuses(document) == {"a": "completed", "b": "completed", "c": "skipped", "d": "skipped", "e": "completed"}
    found = nodes(document)
    assert (found["c"]["condition"], found["c"]["decided_by"], found["d"]["decided_by"]) == (
        False,
        "condition",
        "upstream",
    )
    assert RAN[dags.home.tenant_id] == ["a", "b", "e"]
    assert {"source": "a", "target": "b"} in document["edges"]
    # Each node is a task whose parent is the run, and the run is a task.
    row = await dags.world.row(found["b"]["task_id"])
    assert (row["parent_task_id"], row["task_type"], row["status"]) == (document["run_id"], "dag_echo", "COMPLETED")
    run = await dags.world.row(document["run_id"])
    assert (run["task_type"], run["status"], run["result"]) == ("taskgate.dag", "COMPLETED", document["result"])
    other = await dags.run(CHAIN, n=20)
    assert statuses(other)["c"] == "completed"
    assert nodes(other)["c"]["condition"] is True


#: A node that waits for a gate, and one after it.
GATED = "nodes: {{a: {{type: dag_echo, input: {{mark: {}}}}}, b: {{type: dag_echo, needs: [a], input: {{mark: b}}}}}}"

FAN = """
params: {list: {type: list}}
nodes:
  each:
    type: dag_echo
    for_each: params.list
    max_parallel: 3
    input: {mark: "${ item }", value: "${ item + index }"}
    on_failure: continue
    retry: {attempts: 1}
  sum: {type: dag_echo, input: {mark: sum, value: "${ nodes.each.results.map(r, r == null ? -1 : r.value) }"}}
outputs: {all: "${ nodes.sum.result.value }", failed: "${ nodes.each.failed }"}
"""


async def test_a_fan_out_and_its_results_in_order(dags: Dags) -> None:
    marks = [100 * n for n in range(8)]
    FAILURES["300"] = 1
    document = await dags.run(FAN, list=marks)
    assert document["result"] == {"all": [m + i if m != 300 else -1 for i, m in enumerate(marks)], "failed": 1}
    found = nodes(document)
    assert found["each"]["items"] == {"total": 8, "opened": 8, "running": 0, "completed": 7, "failed": 1}
    assert found["each[3]"]["error"] == "300 was told to fail"
    result = (await dags.http.get(f"/gateway/v1/dag-runs/{document['run_id']}/nodes/each/result")).json()
    assert result["result"][3] is None
    assert result["result"][2] == {"value": 202}
    one = (await dags.http.get(f"/gateway/v1/dag-runs/{document['run_id']}/nodes/each[2]/result")).json()
    assert one["result"] == {"value": 202}
    empty = await dags.run(FAN, list=[])
    assert empty["result"] == {"all": [], "failed": 0}


async def test_retry_goes_on_from_the_failed_node(dags: Dags) -> None:
    await dags.apply(
        "fails",
        """
nodes:
  a: {type: dag_echo, input: {mark: a, value: 1}}
  each: {type: dag_echo, for_each: "['x', 'y', 'z']", needs: [a], input: {mark: "${ item }"}, retry: {attempts: 1}}
  c: {type: dag_echo, needs: [each], input: {mark: c}}
""",
    )
    FAILURES["y"] = 1
    run_id = await dags.start("fails")
    document = await dags.ended(run_id)
    assert document["status"] == "failed"
    assert "each[1]" in document["error"]
    assert statuses(document)["c"] == "pending"
    answer = await dags.post(f"{run_id}/retry")
    assert answer.status_code == 200, answer.text
    document = await dags.ended(run_id)
    assert (document["status"], document["starts"]) == ("completed", 2)
    ran = RAN[dags.home.tenant_id]
    assert sorted(ran) == ["a", "c", "x", "y", "y", "z"]
    assert (await dags.post(f"{run_id}/retry")).status_code == 409


async def test_a_node_whose_failure_is_lived_with_runs_anew_if_it_was_stopped_with_the_run(dags: Dags) -> None:
    gate = f"gate-{secrets.token_hex(3)}"
    GATES[gate] = asyncio.Event()
    await dags.apply(
        "cancelled",
        f"""
nodes:
  a: {{type: dag_echo, input: {{mark: {gate}, value: 1}}, on_failure: continue}}
  b: {{type: dag_echo, needs: [a], input: {{mark: b, value: "${{ nodes.a.result.value }}"}}}}
outputs: {{b: "${{ nodes.b.result.value }}"}}
""",
    )
    run_id = await dags.start("cancelled")
    await dags.until(run_id, "a", "running")
    assert (await dags.post(f"{run_id}/cancel")).status_code == 200
    assert (await dags.ended(run_id))["status"] == "cancelled"
    GATES[gate].set()
    assert (await dags.post(f"{run_id}/retry")).status_code == 200
    document = await dags.ended(run_id)
    assert (document["status"], document["result"]) == ("completed", {"b": 1})


async def test_compensation_undoes_what_was_completed_the_last_first(dags: Dags) -> None:
    FAILURES["c"] = 1
    document = await dags.run(
        """
nodes:
  a:
    type: dag_echo
    input: {mark: a, value: 7}
    compensate: {type: dag_undo, input: {mark: "undo a ${ nodes.a.result.value }"}}
  b: {type: dag_echo, needs: [a], input: {mark: b}, compensate: {type: dag_undo, input: {mark: undo b}}}
  c: {type: dag_echo, needs: [b], input: {mark: c}, retry: {attempts: 1}, on_failure: compensate}
"""
    )
    assert document["status"] == "failed"
    assert RAN[dags.home.tenant_id] == ["a", "b", "c", "undo b", "undo a 7"]
    assert statuses(document)["a~undo"] == "completed"


async def test_dags_inside_dags(dags: Dags) -> None:
    await dags.apply(
        "inner",
        """
params: {n: {type: integer}}
nodes: {x: {type: dag_echo, input: {mark: "in ${ params.n }", value: "${ params.n * 2 }"}}}
outputs: {doubled: "${ nodes.x.result.value }"}
""",
    )
    document = await dags.run(
        """
nodes:
  one: {dag: inner, input: {n: 4}}
  many: {dag: inner, for_each: "[1, 2]", input: {n: "${ item }"}}
outputs: {one: "${ nodes.one.result.doubled }", many: "${ nodes.many.results.map(r, r.doubled) }"}
"""
    )
    assert document["result"] == {"one": 8, "many": [2, 4]}, document["error"]
    inside = await dags.state(nodes(document)["one"]["run_id"])
    assert (inside["parent_run_id"], inside["parent_path"], inside["status"]) == (
        document["run_id"],
        "one",
        "completed",
    )


async def test_the_deadline_of_a_run(dags: Dags) -> None:
    gate = f"gate-{secrets.token_hex(3)}"
    GATES[gate] = asyncio.Event()
    document = await dags.run(f"deadline_seconds: 0.3\nnodes: {{a: {{type: dag_echo, input: {{mark: {gate}}}}}}}")
    assert (document["status"], document["error"]) == ("failed", "The DAG did not end by its deadline")
    assert statuses(document) == {"a": "cancelled"}
    GATES.pop(gate).set()


async def test_the_timeout_of_a_node(dags: Dags) -> None:
    gate = f"gate-{secrets.token_hex(3)}"
    GATES[gate] = asyncio.Event()
    document = await dags.run(
        f"nodes: {{a: {{type: dag_echo, timeout_seconds: 0.2, retry: {{attempts: 1}}, input: {{mark: {gate}}}}}}}"
    )
    assert document["error"] == "Node a failed: Task timed out after 0.2 seconds"
    GATES.pop(gate).set()


async def test_the_stream_of_a_run(dags: Dags) -> None:
    from contracts.sse import read_events

    gate = f"gate-{secrets.token_hex(3)}"
    GATES[gate] = asyncio.Event()
    await dags.apply(
        "watched",
        GATED.format(gate),
    )
    run_id = await dags.start("watched")
    await dags.until(run_id, "a", "running")
    seen: list[tuple[str, Any]] = []
    async with dags.http.stream("GET", f"/gateway/v1/dag-runs/{run_id}/stream") as answer:
        async for event in read_events(answer):
            seen.append((event.name, event.data))
            GATES[gate].set()
    assert [seen[0][0], seen[-1][0]] == ["state", "end"]
    assert statuses(seen[0][1])["a"] == "running"
    changed = [(node["path"], node["status"]) for name, data in seen if name == "nodes" for node in data["nodes"]]
    assert ("a", "completed") in changed
    assert ("b", "completed") in changed
    assert seen[-1][1]["status"] == "completed"
    GATES.pop(gate)
    assert (await dags.http.get(f"/gateway/v1/dag-runs/{run_id}x/stream")).status_code == 404


@pytest.mark.parametrize("stage", ["off"])
async def test_a_tenant_on_redis_is_told_why_and_an_administrator_what_to_do(dags: Dags, stage: str) -> None:
    from gateway.routing.stages import Stage

    gate = f"gate-{secrets.token_hex(3)}"
    GATES[gate] = asyncio.Event()
    await dags.apply(
        "flipped",
        GATED.format(gate),
    )
    run_id = await dags.start("flipped")
    await dags.until(run_id, "a", "running")
    await dags.world.flag.set(Stage(stage), dags.home.tenant_id)
    answer = await dags.http.post("/gateway/v1/dag-runs", json={"dag": "flipped", "project_id": dags.home.project_id})
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:taskgate:error:dag_needs_temporal"
    assert answer.json()["detail"] == "DAGs run on Temporal, and this tenant's tasks go to another backend."
    told = await dags.world.client(dags.world.admin).post(
        "/gateway/v1/dag-runs", json={"dag": "flipped", "project_id": dags.home.project_id}
    )
    assert "--stage live" in told.json()["detail"]
    # A run that is open ends where it began.
    GATES.pop(gate).set()
    document = await dags.ended(run_id)
    assert document["status"] == "completed"
    assert (await dags.world.dispatch(nodes(document)["b"]["task_id"]))["backend"] == "temporal"


async def failed_run(dags: Dags) -> str:
    """A run that a retry would complete."""
    mark = f"fails-{secrets.token_hex(3)}"
    FAILURES[mark] = 1
    await dags.apply("fails", f"nodes: {{a: {{type: dag_echo, input: {{mark: {mark}}}, retry: {{attempts: 1}}}}}}")
    run_id = await dags.start("fails")
    assert (await dags.ended(run_id))["status"] == "failed"
    return run_id


async def test_a_retry_on_redis_is_refused_as_a_start_is(dags: Dags) -> None:
    from gateway.routing.stages import Stage

    run_id = await failed_run(dags)
    await dags.world.flag.set(Stage.OFF, dags.home.tenant_id)
    answer = await dags.post(f"{run_id}/retry")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:taskgate:error:dag_needs_temporal")
    assert answer.json()["detail"] == "DAGs run on Temporal, and this tenant's tasks go to another backend."
    told = await dags.world.client(dags.world.admin).post(f"/gateway/v1/dag-runs/{run_id}/retry")
    assert (told.status_code, "--stage live" in told.json()["detail"]) == (409, True), told.text
    assert (await dags.state(run_id))["status"] == "failed"
    await dags.world.flag.set(Stage.LIVE, dags.home.tenant_id)
    assert (await dags.post(f"{run_id}/retry")).status_code == 200
    assert (await dags.ended(run_id))["status"] == "completed"


async def test_a_retry_goes_where_the_rule_for_its_tenants_plan_says(dag_world: DagWorld) -> None:
    from gateway.routing.stages import Stage

    dags = Dags(dag_world, await dag_world.people.household("enterprise"))
    run_id = await failed_run(dags)
    await dag_world.flag.set_rule(Stage.OFF, dags.home.tenant_id)
    assert (await dags.post(f"{run_id}/retry")).status_code == 409
    await dag_world.flag.set_rule(Stage.LIVE, dags.home.tenant_id, plan="enterprise")
    assert (await dags.post(f"{run_id}/retry")).status_code == 200
    assert (await dags.ended(run_id))["status"] == "completed"


async def test_a_task_is_a_run(dags: Dags) -> None:
    """How schedules start runs: a task whose payload names the DAG."""
    await dags.apply(
        "named", "params: {n: {type: integer}}\nnodes: {a: {type: dag_echo}}\noutputs: {n: '${ params.n }'}"
    )

    async def submit(payload: dict[str, Any]) -> dict[str, Any]:
        body = {"type": "taskgate.dag", "payload": payload, "project_id": dags.home.project_id}
        answer = await dags.http.post("/gateway/v1/tasks", json=body)
        return await dags.world.ended(answer.json()["task_id"])

    row = await submit({"dag": "named", "params": {"n": 3}})
    assert (row["status"], row["result"]) == ("COMPLETED", {"n": 3})
    assert (await dags.state(row["id"]))["dag"] == "named"
    for payload, message in (
        ({"dag": "nobody"}, "There is no DAG 'nobody', or no such version of it"),
        ({"dag": "named"}, "The parameters do not fit named@1: parameter 'n' must be given"),
        ({}, "The payload of a taskgate.dag task names a DAG: {dag, version, params}"),
    ):
        row = await submit(payload)
        assert (row["status"], row["error_message"]) == ("FAILED", message)


async def test_a_node_of_an_older_definition_is_no_run(dags: Dags) -> None:
    """Definitions were once kept whose nodes are of the type of runs: a DAG could start itself so without end."""
    home, database = dags.home, dags.world.database
    await dags.apply("inner", "nodes: {a: {type: dag_echo}}")
    await dags.apply("older", "nodes: {a: {type: dag_echo, input: {dag: inner}}}")
    await database.execute(
        "INSERT INTO taskgate.dag_version (tenant_id, name, version, definition, plan, digest)"
        " SELECT tenant_id, name, 2, replace(definition::text, 'dag_echo', 'taskgate.dag')::json, plan, 'older'"
        " FROM taskgate.dag_version WHERE tenant_id = $1 AND name = 'older'",
        home.tenant_id,
    )
    move = "UPDATE taskgate.dag SET version = 2, latest = 2 WHERE tenant_id = $1 AND name = 'older'"
    await database.execute(move, home.tenant_id)
    document = await dags.ended(await dags.start("older"))
    assert document["status"] == "failed"
    row = await dags.world.row(nodes(document)["a"]["task_id"])
    assert (row["status"], row["error_message"]) == (
        "FAILED",
        "A node of a DAG runs another DAG by `dag`, not by `type`",
    )


async def test_a_schedule_starts_runs(dags: Dags) -> None:
    await dags.apply("scheduled", "params: {n: {type: integer}}\nnodes: {a: {type: dag_echo, input: {mark: a}}}")
    action = {"type": "taskgate.dag", "payload": {"dag": "scheduled", "params": {"n": 3}}}
    body = {"name": "runs", "specs": [{"every_seconds": 86400}], "action": action}
    answer = await dags.http.post("/gateway/v1/schedules", json=body)
    assert answer.status_code == 201, answer.text
    schedule = f"/gateway/v1/schedules/{answer.json()['schedule_id']}"
    fired = await dags.http.post(f"{schedule}/run")
    assert (fired.status_code, fired.json()["outcome"]) == (202, "fired"), fired.text
    document = await dags.ended(fired.json()["task_id"])
    assert (document["status"], document["dag"], document["params"]) == ("completed", "scheduled", {"n": 3})
    assert (await dags.http.delete(schedule)).status_code == 204
