"""`DagRunService`: runs over gRPC, on a real Temporal."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Value
from taskgate.v1 import (
    ApproveDagNodeRequest,
    CancelDagRunRequest,
    DagRunServiceStub,
    DagStatus,
    GetDagNodeResultRequest,
    GetDagRunRequest,
    PreviewDagRunRequest,
    RetryDagRunRequest,
    SendDagSignalRequest,
    SkipDagNodeRequest,
    StartDagRunRequest,
    WatchDagRunRequest,
)

from contracts.dag_probes import GATES, RAN
from contracts.dag_world import Dags, DagWorld, nodes, statuses
from contracts.world import PATIENCE
from gateway.routing.stages import Stage
from gateway.rpc.server import GrpcServer

Code = grpc.StatusCode
COMPLETED, SKIPPED = DagStatus.DAG_STATUS_COMPLETED, DagStatus.DAG_STATUS_SKIPPED

CHAIN = """
params: {n: {type: integer, default: 2}}
nodes:
  a: {type: dag_echo, input: {value: "${ params.n }"}}
  b: {type: dag_echo, needs: [a], when: nodes.a.result.value > 10, input: {value: 1}}
  c: {type: dag_echo, needs: [a], input: {value: "${ nodes.a.result.value + 1 }"}}
outputs: {sum: "${ nodes.c.result.value }"}
"""
APPROVAL = "nodes: {ok: {approval: {}}}"


@pytest.fixture
async def runs(dag_world: DagWorld) -> AsyncIterator[DagRunServiceStub]:
    """A client of the gRPC face, opened beside the HTTP face of the same gateway."""
    gateway = dag_world.gateway
    gateway.settings = gateway.settings.model_copy(update={"grpc_port": 0, "drain_seconds": 1.0})
    server = GrpcServer(gateway)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield DagRunServiceStub(channel)
    await server.stop()


def key_of(person: Any) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {person.key}")]


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def refused(call: Any) -> Code:
    return (await failure(call)).code()


@pytest.fixture
def gate() -> Iterator[str]:
    """A mark at which a node waits until the test sets its event."""
    name = f"gate-{secrets.token_hex(3)}"
    GATES[name] = asyncio.Event()
    yield name
    GATES.pop(name).set()


async def test_a_run_is_started_once_and_watched_to_its_end(dags: Dags, runs: Any) -> None:
    metadata = key_of(dags.home.owner)
    await dags.apply("chain", CHAIN)
    request = StartDagRunRequest(
        dag="chain", project_id=dags.home.project_id, idempotency_key="k", labels={"a": "b"}, version="1"
    )
    request.params.update({"n": 5})

    started, again = [await runs.StartDagRun(request, metadata=metadata) for _ in range(2)]
    assert (started.version, started.replayed, again.replayed) == (1, False, True)
    assert again.run_id == started.run_id

    call = runs.WatchDagRun(WatchDagRunRequest(run_id=started.run_id), metadata=metadata, timeout=3 * PATIENCE)
    seen: dict[str, int] = {}
    run = None
    async for change in call:
        seen |= {node.path: node.status for node in change.nodes}
        run = change.run if change.HasField("run") else run
    assert seen == {"a": COMPLETED, "b": SKIPPED, "c": COMPLETED}
    assert run is not None
    assert (run.status, run.dag) == (COMPLETED, "chain")

    shown = await runs.GetDagRun(GetDagRunRequest(run_id=started.run_id), metadata=metadata)
    assert {node.path: node.status for node in shown.nodes} == seen
    assert shown.result.struct_value["sum"] == 6
    assert shown.params["n"] == 5
    # HTTP shows the same.
    document = await dags.state(started.run_id)
    assert (document["status"], document["labels"]) == ("completed", {"a": "b"})


async def test_any_result_that_http_shows_is_shown(dags: Dags, runs: Any, dag_world: DagWorld) -> None:
    metadata = key_of(dags.home.owner)
    await dags.apply("asks", APPROVAL)
    run_id = await dags.start("asks")
    await dags.until(run_id, "ok", "waiting")
    await dags.post(f"{run_id}/nodes/ok/approve", {"approved": True})
    task_id = nodes(await dags.ended(run_id))["ok"]["task_id"]
    request = GetDagNodeResultRequest(run_id=run_id, path="ok")
    for text, shown in [
        ('{"s": "\\ud800"}', {"s": "?"}),
        ('{"n": 1e999}', {"n": "Infinity"}),
        ('{"a":' * 3000 + "1" + "}" * 3000, None),
    ]:
        await dag_world.gateway.database.execute("UPDATE task_logs SET result = $2 WHERE id = $1", task_id, text)
        got = await runs.GetDagNodeResult(request, metadata=metadata)
        assert (got.task_id, got.status) == (task_id, "completed")
        assert (MessageToDict(got.result) if got.HasField("result") else None) == shown
        assert (await dags.http.get(f"/gateway/v1/dag-runs/{run_id}/nodes/ok/result")).status_code == 200


async def test_a_start_that_is_repeated_when_the_dag_is_gone(dags: Dags, runs: Any) -> None:
    metadata = key_of(dags.home.owner)
    await dags.apply("chain", CHAIN)
    request = StartDagRunRequest(dag="chain", project_id=dags.home.project_id, idempotency_key="k")
    started = await runs.StartDagRun(request, metadata=metadata)
    body, key = {"dag": "chain", "project_id": dags.home.project_id}, {"Idempotency-Key": "http"}
    first = await dags.http.post("/gateway/v1/dag-runs", json=body, headers=key)
    assert (await dags.http.delete("/gateway/v1/dags/chain")).status_code == 204

    again = await runs.StartDagRun(request, metadata=metadata)
    assert (again.replayed, again.run_id, again.version) == (True, started.run_id, 1)
    request.idempotency_key = "other"
    assert await refused(runs.StartDagRun(request, metadata=metadata)) is Code.NOT_FOUND
    repeated = await dags.http.post("/gateway/v1/dag-runs", json=body, headers=key)
    assert (repeated.status_code, repeated.json()) == (202, first.json())
    assert (await dags.http.post("/gateway/v1/dag-runs", json=body)).status_code == 404


async def test_a_preview_checks_what_a_start_checks_and_starts_nothing(
    dags: Dags, runs: Any, dag_world: DagWorld
) -> None:
    metadata = key_of(dags.home.owner)
    await dags.apply("chain", CHAIN)
    asked = {"dag": "chain", "version": "1", "tenant_id": dags.home.tenant_id, "priority": 1, "labels": {"team": "a"}}
    request = PreviewDagRunRequest(**asked)
    request.params.update({"n": 7})
    answer = await runs.PreviewDagRun(request, metadata=metadata)
    assert (answer.dag, answer.version, dict(answer.params)) == ("chain", 1, {"n": 7})
    twin = await dags.http.post("/gateway/v1/dag-runs/preview", json={**asked, "params": {"n": 7}})
    assert twin.status_code == 200, twin.text
    assert answer.nodes == twin.json()["nodes"] == 3
    assert dict((await runs.PreviewDagRun(PreviewDagRunRequest(dag="chain"), metadata=metadata)).params) == {"n": 2}

    for bad in ({"priority": 9}, {"labels": {"A b": ""}}, {"labels": {"a": "x" * 256}}, {"version": "\0"}):
        preview, start = (kind(dag="chain", **bad) for kind in (PreviewDagRunRequest, StartDagRunRequest))
        assert await refused(runs.PreviewDagRun(preview, metadata=metadata)) is Code.INVALID_ARGUMENT, bad
        assert await refused(runs.StartDagRun(start, metadata=metadata)) is Code.INVALID_ARGUMENT, bad
    stranger = key_of((await dag_world.people.household()).owner)
    assert await refused(runs.PreviewDagRun(request, metadata=stranger)) is Code.PERMISSION_DENIED
    assert (await dags.http.get("/gateway/v1/dag-runs")).json()["runs"] == []


async def test_a_run_is_cancelled_and_goes_on(dags: Dags, runs: Any, dag_world: DagWorld) -> None:
    metadata = key_of(dags.home.owner)
    await dags.apply("wait", APPROVAL)
    run_id = await dags.start("wait")
    await dags.until(run_id, "ok", "waiting")

    cancelled = await runs.CancelDagRun(CancelDagRunRequest(run_id=run_id), metadata=metadata)
    assert cancelled.run.status == DagStatus.DAG_STATUS_CANCELLED
    retried = await runs.RetryDagRun(RetryDagRunRequest(run_id=run_id), metadata=metadata)
    assert retried.run.status == DagStatus.DAG_STATUS_PENDING
    assert await refused(runs.RetryDagRun(RetryDagRunRequest(run_id=run_id), metadata=metadata)) == (
        Code.FAILED_PRECONDITION
    )
    await runs.CancelDagRun(CancelDagRunRequest(run_id=run_id), metadata=metadata)


async def test_a_retry_needs_a_backend_that_runs_dags(dags: Dags, runs: Any) -> None:
    await dags.apply("gone", "nodes: {a: {type: gone_since}}")
    run_id = await dags.start("gone")
    assert (await dags.ended(run_id))["status"] == "failed"
    await dags.world.flag.set(Stage.OFF, dags.home.tenant_id)
    request = RetryDagRunRequest(run_id=run_id)
    for person, hint in ((dags.home.owner, "tasks go to another backend"), (dags.world.admin, "--stage live")):
        error = await failure(runs.RetryDagRun(request, metadata=key_of(person)))
        assert (error.code(), hint in str(error.details())) == (Code.FAILED_PRECONDITION, True), error


async def test_the_first_answer_to_an_approval_counts(dags: Dags, runs: Any, dag_world: DagWorld) -> None:
    metadata = key_of(dags.home.owner)
    await dags.apply("asks", "nodes: {ok: {approval: {}}, a: {type: dag_echo, needs: [ok], input: {mark: a}}}")
    run_id = await dags.start("asks")
    await dags.until(run_id, "ok", "waiting")
    request = ApproveDagNodeRequest(run_id=run_id, path="ok", approved=True, comment="fine")
    stranger = key_of((await dag_world.people.household()).owner)
    assert await refused(runs.ApproveDagNode(request, metadata=stranger)) is Code.NOT_FOUND
    unknown = ApproveDagNodeRequest(run_id=run_id, path="nowhere", approved=True)
    assert await refused(runs.ApproveDagNode(unknown, metadata=metadata)) is Code.NOT_FOUND

    assert (await runs.ApproveDagNode(request, metadata=metadata)).run.run_id == run_id
    request.approved = False
    late = await failure(runs.ApproveDagNode(request, metadata=metadata))
    assert late.code() is Code.FAILED_PRECONDITION
    assert f"approved already, by {dags.home.owner.user_id}" in str(late.details())
    document = await dags.ended(run_id)
    assert statuses(document) == {"ok": "completed", "a": "completed"}
    answer = nodes(document)["ok"]["answer"]
    assert (answer["approved"], answer["comment"]) == (True, "fine")


async def test_a_rejection_fails_the_run(dags: Dags, runs: Any) -> None:
    metadata = key_of(dags.home.owner)
    await dags.apply("asks", "nodes: {ok: {approval: {}}, a: {type: dag_echo, needs: [ok], input: {mark: a}}}")
    run_id = await dags.start("asks")
    await dags.until(run_id, "ok", "waiting")
    request = ApproveDagNodeRequest(run_id=run_id, path="ok", approved=False, comment="too early")
    await runs.ApproveDagNode(request, metadata=metadata)
    await dags.ended(run_id)
    shown = await runs.GetDagRun(GetDagRunRequest(run_id=run_id), metadata=metadata)
    assert shown.run.status == DagStatus.DAG_STATUS_FAILED
    assert "too early" in shown.run.error
    assert RAN[dags.home.tenant_id] == []


async def test_a_node_is_skipped(dags: Dags, runs: Any, gate: str) -> None:
    metadata = key_of(dags.home.owner)
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
    request = SkipDagNodeRequest(run_id=run_id, path="b", reason="not today")
    assert (await runs.SkipDagNode(request, metadata=metadata)).run.status == DagStatus.DAG_STATUS_RUNNING
    assert await refused(runs.SkipDagNode(request, metadata=metadata)) is Code.FAILED_PRECONDITION
    request.path = "nowhere"
    assert await refused(runs.SkipDagNode(request, metadata=metadata)) is Code.NOT_FOUND
    GATES[gate].set()
    await dags.ended(run_id)
    shown = await runs.GetDagRun(GetDagRunRequest(run_id=run_id), metadata=metadata)
    assert {node.path: node.status for node in shown.nodes} == {"a": COMPLETED, "b": SKIPPED, "c": COMPLETED}
    (skipped,) = [node for node in shown.nodes if node.path == "b"]
    assert (skipped.reason, skipped.decided_by) == ("not today", f"user:{dags.home.owner.user_id}")
    assert RAN[dags.home.tenant_id] == [gate, "c"]


async def test_signals_before_and_after_their_node_waits(dags: Dags, runs: Any, gate: str) -> None:
    metadata = key_of(dags.home.owner)
    await dags.apply(
        "signalled",
        f"""
nodes:
  first: {{type: dag_echo, input: {{mark: {gate}}}}}
  early: {{signal: {{name: early}}, needs: [first]}}
  late: {{signal: {{name: late}}, needs: [early]}}
outputs: {{n: "${{ nodes.late.result.n }}"}}
""",
    )
    run_id = await dags.start("signalled")
    await dags.until(run_id, "first", "running")
    early = SendDagSignalRequest(run_id=run_id, name="early", payload=Value(string_value="soon"))
    assert list((await runs.SendDagSignal(early, metadata=metadata)).nodes) == []
    GATES[gate].set()
    await dags.until(run_id, "late", "waiting")
    late = SendDagSignalRequest(run_id=run_id, name="late")
    late.payload.struct_value.update({"n": 3})
    assert list((await runs.SendDagSignal(late, metadata=metadata)).nodes) == ["late"]
    await dags.ended(run_id)
    shown = await runs.GetDagRun(GetDagRunRequest(run_id=run_id), metadata=metadata)
    assert (shown.run.status, shown.result.struct_value["n"]) == (COMPLETED, 3)
    got = await runs.GetDagNodeResult(GetDagNodeResultRequest(run_id=run_id, path="early"), metadata=metadata)
    assert got.result.string_value == "soon"
    assert await refused(runs.SendDagSignal(late, metadata=metadata)) is Code.FAILED_PRECONDITION


async def test_what_is_not_the_callers_and_what_is_not_valid(dags: Dags, runs: Any, dag_world: DagWorld) -> None:
    metadata = key_of(dags.home.owner)
    await dags.apply("chain", CHAIN)
    run_id = await dags.start("chain")
    stranger = key_of((await dag_world.people.household()).owner)

    for call, request in (
        (runs.GetDagRun, GetDagRunRequest(run_id=run_id)),
        (runs.CancelDagRun, CancelDagRunRequest(run_id=run_id)),
        (runs.RetryDagRun, RetryDagRunRequest(run_id=run_id)),
    ):
        assert await refused(call(request, metadata=stranger)) is Code.NOT_FOUND
        assert await refused(call(request)) is Code.UNAUTHENTICATED
    watch = runs.WatchDagRun(WatchDagRunRequest(run_id=run_id), metadata=stranger)
    assert await refused(watch.read()) is Code.NOT_FOUND
    for bad in (
        StartDagRunRequest(),
        StartDagRunRequest(dag="chain", priority=9),
        StartDagRunRequest(dag="chain", labels={"A b": ""}),
        StartDagRunRequest(dag="chain", idempotency_key=""),
        StartDagRunRequest(dag="chain", version="\0"),
    ):
        assert await refused(runs.StartDagRun(bad, metadata=metadata)) is Code.INVALID_ARGUMENT
    unfit = StartDagRunRequest(dag="chain")
    unfit.params.update({"n": "many"})
    assert await refused(runs.StartDagRun(unfit, metadata=metadata)) is Code.INVALID_ARGUMENT
    assert await refused(runs.StartDagRun(StartDagRunRequest(dag="no-such"), metadata=metadata)) is Code.NOT_FOUND
    assert dag_world.gateway.run_watch.is_watched is False
