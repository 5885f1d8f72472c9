"""`GET /gateway/v1/migration/stages/stream`: the stages in force, then after each change, as Server-Sent Events."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from gateway.errors import ShuttingDown
from gateway.http.events import EventStream, event, keepalive
from gateway.http.migration_guardrails import GuardrailEvent
from gateway.http.migration_stages import StagesInForce
from gateway.http.openapi_errors import event_stream, problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.migration.stages.watch import StageSubscription

router = APIRouter(prefix="/gateway/v1/migration/stages", tags=["migration"], route_class=KeyedRoute)


async def _events(subscription: StageSubscription, keepalive_seconds: float) -> AsyncIterator[ServerSentEvent]:
    async for change in subscription.changes(keepalive_seconds):
        yield keepalive() if change is None else event(*change)


@router.get(
    "/stream",
    status_code=200,
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "`stages`: the stages in force, at once and after each change. `guardrail`: a guardrail "
            "acted or reported something",
            "content": event_stream(stages=StagesInForce, guardrail=GuardrailEvent),
        },
        **problem_errors(403),
    },
)
async def stream_stages(request: Request) -> Response:
    """Follow the stages that this gateway uses, as Server-Sent Events: flag, overrides, and problems with them."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    subscription = gateway.stage_watch.subscribe()
    if subscription.is_closed:
        raise ShuttingDown(retry_after=1)
    events = _events(subscription, gateway.settings.stream_keepalive_seconds)
    return EventStream(gateway, events, subscription, caller)
