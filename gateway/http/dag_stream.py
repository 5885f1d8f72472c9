"""`GET /gateway/v1/dag-runs/{run_id}/stream`: the state of a run, then what changes of it, as Server-Sent Events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from gateway.dags.following import follow
from gateway.dags.run_document import NodeState, RunDocument, RunSummary
from gateway.errors import ShuttingDown
from gateway.http.events import EventStream, event, keepalive
from gateway.http.openapi_errors import event_stream, problem_errors
from gateway.http.route import KeyedRoute, gateway_of

router = APIRouter(prefix="/gateway/v1/dag-runs", tags=["dag-runs"], route_class=KeyedRoute)


class ChangedNodes(BaseModel):
    """Nodes that have changed, in their current state."""

    nodes: list[NodeState]


async def _events(
    state: dict[str, Any], changes: AsyncIterator[tuple[str, dict[str, Any]] | None]
) -> AsyncIterator[ServerSentEvent]:
    """`state`, then `nodes` and `run` as they change, and `end`."""
    yield event("state", state)
    async for change in changes:
        yield keepalive() if change is None else event(*change)


@router.get(
    "/{run_id}/stream",
    status_code=200,
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "`state`: the whole run, once. `nodes`, `run`: each time that nodes or the run change. "
            "`end`: the run is over; the stream ends",
            "content": event_stream(state=RunDocument, nodes=ChangedNodes, run=RunSummary, end=RunSummary),
        },
        **problem_errors(404),
    },
)
async def stream_run(request: Request, run_id: str) -> Response:
    """Follow a DAG run to its end as Server-Sent Events."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    subscription = gateway.run_watch.subscribe(run_id).open()
    try:
        state = await gateway.run_documents.get(run_id, caller)
    except BaseException:
        subscription.close()
        raise
    if subscription.is_closed:
        raise ShuttingDown(retry_after=1)
    changes = follow(subscription, gateway.dag_runs, gateway.run_documents, caller, state)
    return EventStream(gateway, _events(state, changes), subscription, caller)
