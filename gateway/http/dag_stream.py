"""`GET /gateway/v1/dag-runs/{run_id}/stream`: the state of a run, then what changes of it, as Server-Sent Events."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from gateway.access.placement import Caller
from gateway.dags.following import follow
from gateway.dags.run_document import NodeState, RunDocument, RunDocuments, RunSummary
from gateway.dags.runs import DagRuns
from gateway.dags.watch import RunSubscription
from gateway.errors import ShuttingDown
from gateway.http.documents import event_stream, problem_errors
from gateway.http.events import KEEPALIVE, Emit, EventResponse, event
from gateway.http.route import KeyedRoute, gateway_of

router = APIRouter(prefix="/gateway/v1/dag-runs", tags=["dag-runs"], route_class=KeyedRoute)


class ChangedNodes(BaseModel):
    """Nodes that changed."""

    nodes: list[NodeState]


class RunStream(EventResponse):
    """Sends `state`, then `nodes` and `run` as they change, and `end`; ends when the client leaves."""

    def __init__(
        self,
        subscription: RunSubscription,
        runs: DagRuns,
        documents: RunDocuments,
        caller: Caller,
        state: dict[str, Any],
    ) -> None:
        super().__init__(subscription)
        self._subscription = subscription
        self._runs = runs
        self._documents = documents
        self._caller = caller
        self._state = state

    async def send_events(self, emit: Emit) -> None:
        await emit(event("state", self._state))
        changes = follow(self._subscription, self._runs, self._documents, self._caller, self._state)
        async for change in changes:
            await emit(KEEPALIVE if change is None else event(*change))


@router.get(
    "/{run_id}/stream",
    status_code=200,
    response_class=RunStream,
    responses={
        200: {
            "description": "`state` once; `nodes` and `run` as they change; `end`",
            "content": event_stream(state=RunDocument, nodes=ChangedNodes, run=RunSummary, end=RunSummary),
        },
        **problem_errors(404),
    },
)
async def stream_run(request: Request, run_id: str) -> Response:
    """Follow a run to its end."""
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
    return RunStream(subscription, gateway.dag_runs, gateway.run_documents, caller, state)
