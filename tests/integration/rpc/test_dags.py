"""`DagService`, and what of `DagRunService` needs no engine."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest
from taskgate.v1 import (
    ApplyDagRequest,
    ApproveDagNodeRequest,
    CompareDagVersionsRequest,
    DagDocument,
    DagStatus,
    GetDagNodeResultRequest,
    GetDagRequest,
    GetDagSchemaRequest,
    ListDagRunsRequest,
    ListDagsRequest,
    ListDagVersionsRequest,
    RetireDagRequest,
    RollBackDagRequest,
    SendDagSignalRequest,
    SkipDagNodeRequest,
    ValidateDagRequest,
)

Code = grpc.StatusCode

ONE = "nodes:\n  a: {type: add_episode}\n"
TWO = "nodes:\n  a: {type: add_episode}\n  b: {type: add_episode, needs: [a]}\n"
BROKEN = "nodes:\n  a: {type: add_episode, needs: [gone]}\n"


async def apply(face: Any, dags: Any, text: str = ONE, **more: Any) -> Any:
    request = ApplyDagRequest(name="etl", document=DagDocument(text=text), any_types=True, **more)
    return await dags.ApplyDag(request, metadata=face.ann)


async def test_versions_are_applied_compared_and_rolled_back(face: Any, dags: Any) -> None:
    first, again = await apply(face, dags, label="v-one"), await apply(face, dags)
    second = await apply(face, dags, TWO)

    assert (first.is_new, again.is_new, second.is_new) == (True, False, True)
    assert (first.dag.version, first.dag.label, first.dag.source) == (1, "v-one", ONE)
    assert {node: list(needs.nodes) for node, needs in second.dag.needs.items()} == {"a": [], "b": ["a"]}
    assert second.dag.definition["nodes"]["b"]["needs"][0] == "a"

    changes = await dags.CompareDagVersions(CompareDagVersionsRequest(name="etl", before="v-one"), metadata=face.ann)
    assert (changes.before, changes.after) == (1, 2)
    assert [(change.op, change.place) for change in changes.changes] == [("add", "/nodes/b")]

    back = await dags.RollBackDag(RollBackDagRequest(name="etl", version="1"), metadata=face.ann)
    got = await dags.GetDag(GetDagRequest(name="etl"), metadata=face.ann)
    assert (back.dag.version, got.dag) == (1, back.dag)
    versions = await dags.ListDagVersions(ListDagVersionsRequest(name="etl"), metadata=face.ann)
    assert [(version.version, version.is_current) for version in versions.versions] == [(2, False), (1, True)]


async def test_a_definition_may_be_data(face: Any, dags: Any) -> None:
    document = DagDocument()
    document.data.update({"nodes": {"a": {"type": "add_episode"}}})
    answer = await dags.ApplyDag(ApplyDagRequest(name="etl", document=document, any_types=True), metadata=face.ann)
    assert (answer.is_new, answer.dag.nodes, answer.dag.HasField("source")) == (True, 1, False)


async def test_lists_and_the_end_of_a_dag(face: Any, dags: Any, refusal: Any) -> None:
    await apply(face, dags)
    listed = await dags.ListDags(ListDagsRequest(), metadata=face.ann)
    assert {(dag.name, dag.built_in) for dag in listed.dags} >= {("etl", False)}
    assert any(dag.built_in for dag in listed.dags)

    await dags.RetireDag(RetireDagRequest(name="etl"), metadata=face.ann)
    refused = await refusal(dags.GetDag(GetDagRequest(name="etl"), metadata=face.ann))
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "DAG_NOT_FOUND")


async def test_faults_have_places(face: Any, dags: Any, refusal: Any) -> None:
    request = ValidateDagRequest(document=DagDocument(text=BROKEN), any_types=True)
    checked = await dags.ValidateDag(request, metadata=face.ann)
    assert not checked.valid
    (fault,) = checked.faults
    assert (fault.line, fault.place) == (2, "/nodes/a/needs/0")
    request.document.text = TWO
    checked = await dags.ValidateDag(request, metadata=face.ann)
    assert (checked.valid, checked.nodes, list(checked.needs["b"].nodes)) == (True, 2, ["a"])

    refused = await refusal(apply(face, dags, BROKEN))
    assert (refused.code, refused.reason, refused.fields) == (Code.INVALID_ARGUMENT, "DAG_INVALID", ["document"])
    unknown = ApplyDagRequest(name="etl", document=DagDocument(text="nodes: {a: {type: no_such_type}}"))
    assert (await refusal(dags.ApplyDag(unknown, metadata=face.ann))).reason == "DAG_INVALID"


async def test_the_schema_of_a_definition(face: Any, dags: Any) -> None:
    answer = await dags.GetDagSchema(GetDagSchemaRequest(), metadata=face.ann)
    assert "nodes" in json.loads(answer.schema)["properties"]


async def test_dags_belong_to_tenants(face: Any, dags: Any, refusal: Any) -> None:
    await apply(face, dags)
    refused = await refusal(dags.GetDag(GetDagRequest(name="etl"), metadata=face.bob))
    assert refused.code is Code.NOT_FOUND
    # As over HTTP (403), where a tenant is named that is not the caller's.
    foreign = GetDagRequest(name="etl", tenant_id="t-ann")
    assert (await refusal(dags.GetDag(foreign, metadata=face.bob))).code is Code.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("ApplyDag", ApplyDagRequest(name="etl"), "document"),
        ("ApplyDag", ApplyDagRequest(name="No name", document=DagDocument(text=ONE)), "name"),
        ("ApplyDag", ApplyDagRequest(name="etl", label="1", document=DagDocument(text=ONE)), "label"),
        ("ApplyDag", ApplyDagRequest(document=DagDocument(text=ONE)), "name"),
        ("GetDag", GetDagRequest(name="etl", version="v" * 101), "version"),
        ("GetDag", GetDagRequest(name="etl", tenant_id="\0"), "tenant_id"),
    ],
)
async def test_bad_requests_name_their_field(
    face: Any, dags: Any, refusal: Any, method: str, request_: Any, field: str
) -> None:
    refused = await refusal(getattr(dags, method)(request_, metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, [field])


async def test_runs_that_do_not_exist(face: Any, runs: Any, refusal: Any) -> None:
    for call, request in (
        (runs.ApproveDagNode, ApproveDagNodeRequest(run_id="x", path="a", approved=True)),
        (runs.SkipDagNode, SkipDagNodeRequest(run_id="x", path="a", reason="r")),
        (runs.SendDagSignal, SendDagSignalRequest(run_id="x", name="go")),
        (runs.GetDagNodeResult, GetDagNodeResultRequest(run_id="x", path="a")),
    ):
        refused = await refusal(call(request, metadata=face.ann))
        assert (refused.code, refused.reason) == (Code.NOT_FOUND, "DAG_RUN_NOT_FOUND")
    assert not (await runs.ListDagRuns(ListDagRunsRequest(), metadata=face.ann)).runs


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("ListDagRuns", ListDagRunsRequest(page_size=-1), "page_size"),
        ("ListDagRuns", ListDagRunsRequest(page_token="?"), "page_token"),
        ("ListDagRuns", ListDagRunsRequest(status=DagStatus.DAG_STATUS_SKIPPED), "status"),
        ("SkipDagNode", SkipDagNodeRequest(run_id="x", path="a"), "reason"),
        ("SendDagSignal", SendDagSignalRequest(run_id="x", name="no name"), "name"),
        ("ApproveDagNode", ApproveDagNodeRequest(run_id="x", path="a", comment="fine"), "approved"),
        ("ApproveDagNode", ApproveDagNodeRequest(run_id="x", path="a", approved=True, comment="c" * 4001), "comment"),
    ],
)
async def test_bad_requests_about_runs(
    face: Any, runs: Any, refusal: Any, method: str, request_: Any, field: str
) -> None:
    refused = await refusal(getattr(runs, method)(request_, metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, [field])
