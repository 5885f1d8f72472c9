"""`/gateway/v1/dag-runs`: runs of DAGs, their state and what can be done with them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.dags.definition import IDENTIFIER
from gateway.dags.run_document import LIST, STATES_OF, RunDocument, RunSummary, summary
from gateway.dags.run_request import Approve, RunRequest, Skip
from gateway.http.acceptance import IDEMPOTENCY_PARAMETER, RepeatableRoute, json_answer, read_idempotency, replayed
from gateway.http.dags import admit
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import gateway_of
from gateway.storage.paging import Place
from gateway.tasks.payload import JsonValue

router = APIRouter(prefix="/gateway/v1/dag-runs", tags=["dag-runs"], route_class=RepeatableRoute)

RunId = Annotated[str, Path(max_length=100)]
NodePath = Annotated[
    str,
    Path(
        max_length=100, description="Path of the node, such as `fetch`; of one item of a fan-out, such as `fetch[3]`."
    ),
]


class RunAccepted(BaseModel):
    """A DAG run that was accepted. It is also a task, with the same ID."""

    run_id: str
    dag: str
    version: int
    status: Literal["pending"]
    run_url: str
    stream_url: str


class RunPreview(BaseModel):
    """What a run would be. Nothing was started."""

    dag: str
    version: int
    params: dict[str, Any] = Field(description="Parameters of the run, including defaults.")
    nodes: int = Field(description="Number of nodes, including those of inner DAGs.")


class RunList(BaseModel):
    """Runs, newest first."""

    runs: list[RunSummary]
    next_cursor: str | None = Field(description="Cursor of the next page. Null on the last page.")


class SignalReached(BaseModel):
    """The nodes that received a signal."""

    nodes: list[str] = Field(
        description="Paths of the nodes. Empty if no node waits for the signal yet: the first such signal is "
        "kept until one does."
    )


class NodeResult(BaseModel):
    """The result of a node."""

    task_id: str | None = Field(description="Task of the node.")
    status: str
    result: JsonValue


@router.post(
    "",
    status_code=202,
    response_model=RunAccepted,
    responses=problem_errors(403, 404, 409),
    openapi_extra=IDEMPOTENCY_PARAMETER,
)
async def start_run(request: Request, body: RunRequest) -> Response:
    """Start a DAG run. Status 409: the tenant's tasks go to a backend that cannot run DAGs."""
    gateway = gateway_of(request)
    admission = await admit(request, body.tenant_id, body.project_id)
    task, dag, params = await gateway.dag_runs.plan(admission, body)
    url = f"/gateway/v1/dag-runs/{task.task_id}"
    answer = orjson.dumps(
        {
            "run_id": task.task_id,
            "dag": dag.name,
            "version": dag.version,
            "status": "pending",
            "run_url": url,
            "stream_url": f"{url}/stream",
        }
    )
    idempotency = await read_idempotency(request, admission.caller, 202, answer)
    replay = await gateway.dag_runs.start(task, dag, params, idempotency=idempotency)
    return json_answer(answer, 202) if replay is None else replayed(replay)


@router.post("/preview", response_model=RunPreview, responses=problem_errors(403, 404, 409))
async def preview_run(request: Request, body: RunRequest) -> Response:
    """Make all checks that starting a run makes, without starting it."""
    gateway = gateway_of(request)
    admission = await admit(request, body.tenant_id, body.project_id)
    _, dag, params = await gateway.dag_runs.plan(admission, body)
    return json_answer({"dag": dag.name, "version": dag.version, "params": params, "nodes": dag.plan["nodes"]})


@router.get("", response_model=RunList, responses=problem_errors())
async def list_runs(
    request: Request,
    dag: Annotated[str | None, Query(max_length=100)] = None,
    status: Annotated[Literal["pending", "running", "completed", "failed", "cancelled"] | None, Query()] = None,
    inside: Annotated[bool, Query(description="Return runs that are nodes of other runs, too.")] = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=3000)] = None,
) -> Response:
    """List DAG runs that the caller may see, newest first."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    place = Place.of(cursor, LIST)
    rows = await gateway.dag_runs.list_runs(
        caller,
        name=dag,
        states=None if status is None else STATES_OF[status],
        inside=inside,
        after=None if place is None else (place.at, place.id),
        limit=limit + 1,
    )
    more = len(rows) > limit
    last = rows[limit - 1] if more else None
    return json_answer(
        {
            "runs": [summary(row) for row in rows[:limit]],
            "next_cursor": None if last is None else Place(last["created_at"], last["run_id"]).cursor_in(LIST),
        }
    )


@router.get("/{run_id}", response_model=RunDocument, responses=problem_errors(404))
async def get_run(
    request: Request,
    run_id: RunId,
    items: Annotated[
        bool,
        Query(
            description="Whether each item of a fan-out is returned as a node. `false`: a fan-out is one node with "
            "counts."
        ),
    ] = True,
) -> Response:
    """Return the state of a run: nodes, edges, values of conditions, attempts and times."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer(await gateway.run_documents.get(run_id, caller, items=items))


@router.post("/{run_id}/cancel", response_model=RunSummary, responses=problem_errors(404, 409))
async def cancel_run(request: Request, run_id: RunId) -> Response:
    """Cancel a run and all its nodes that are not over."""
    return await _done(request, run_id, lambda caller: gateway_of(request).dag_runs.cancel(run_id, caller))


@router.post("/{run_id}/retry", response_model=RunSummary, responses=problem_errors(404, 409))
async def retry_run(request: Request, run_id: RunId) -> Response:
    """Continue a failed or cancelled run with the same version. Completed nodes keep their results."""
    return await _done(request, run_id, lambda caller: gateway_of(request).dag_runs.retry(run_id, caller))


@router.post("/{run_id}/nodes/{path}/approve", response_model=RunSummary, responses=problem_errors(404, 409))
async def approve_node(request: Request, run_id: RunId, path: NodePath, body: Annotated[Approve, Body()]) -> Response:
    """Answer an approval: approve or reject. Status 409: it was answered before, or the node does not wait for an
    approval."""
    return await _done(
        request,
        run_id,
        lambda caller: gateway_of(request).dag_runs.approve(
            run_id, path, caller, approved=body.approved, comment=body.comment
        ),
    )


@router.post("/{run_id}/nodes/{path}/skip", response_model=RunSummary, responses=problem_errors(404, 409))
async def skip_node(request: Request, run_id: RunId, path: NodePath, body: Annotated[Skip, Body()]) -> Response:
    """Skip a node: it counts as done, without a result. In a failed run, `retry` then continues after it."""
    return await _done(
        request, run_id, lambda caller: gateway_of(request).dag_runs.skip(run_id, path, body.reason, caller)
    )


@router.post("/{run_id}/signals/{name}", response_model=SignalReached, responses=problem_errors(404, 409))
async def send_run_signal(
    request: Request,
    run_id: RunId,
    name: Annotated[str, Path(pattern=IDENTIFIER, description="Name of the signal.")],
    payload: Annotated[JsonValue, Body()] = None,
) -> Response:
    """Send a signal to a run. The body (any JSON) becomes the result of the node that waits for the signal."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    return json_answer({"nodes": await gateway.dag_runs.signal(run_id, name, payload, caller)})


@router.get("/{run_id}/nodes/{path}/result", response_model=NodeResult, responses=problem_errors(404))
async def get_node_result(request: Request, run_id: RunId, path: NodePath) -> Response:
    """Return the full result of a node, an item, or a whole fan-out."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    row = await gateway.dag_runs.result(run_id, path, caller)
    head = orjson.dumps({"task_id": row["task_id"], "status": row["status"]})[:-1]
    return json_answer(head + b',"result":' + (row["result"] or "null").encode() + b"}")


async def _done(request: Request, run_id: str, act: Any) -> Response:
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    await act(caller)
    return json_answer(summary(await gateway.dag_runs.row(run_id, caller)))
