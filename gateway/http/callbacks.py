"""`/gateway/v1/callbacks`: messages about ended tasks to receivers, and the secrets that sign them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.access.placement import Caller
from gateway.callbacks.callback import CallbackEvent
from gateway.callbacks.deliveries import DeliveryFilter
from gateway.callbacks.requests import Id, Resend, Rotation, State
from gateway.errors import InvalidRequest
from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of

router = APIRouter(prefix="/gateway/v1", tags=["callbacks"], route_class=KeyedRoute)

_LARGEST_PAGE = 200

CallbackId = Annotated[
    str, Path(description="ID of the callback. It is also the `webhook-id` of the requests that are sent.")
]
TenantId = Annotated[str, Path(description="ID of the tenant.")]


class CallbackDelivery(BaseModel):
    """A callback: the webhook for one end of one task."""

    id: str = Field(description="ID of the callback, and `webhook-id` of each attempt.")
    task_id: str = Field(description="The task. Empty for messages of guardrails to operators.")
    tenant_id: str | None
    event: CallbackEvent | Literal["guardrail"]
    url: str
    state: State = Field(
        description="`pending`: not delivered yet. `delivered`: the receiver answered 2xx. `dead`: given up."
    )
    attempts: int = Field(description="Number of attempts to send it.")
    created_at: datetime
    due_at: datetime | None = Field(description="Time of the next attempt.")
    tried_at: datetime | None = Field(description="Time of the last attempt.")
    status: int | None = Field(description="HTTP status of the last answer.")
    error: str | None = Field(description="Why the last attempt failed.")
    ended_at: datetime | None = Field(description="When it was delivered or given up.")


class CallbackDetail(CallbackDelivery):
    """A callback with the body that is sent."""

    body: dict[str, Any]


class CallbackPage(BaseModel):
    """Callbacks, newest first."""

    callbacks: list[CallbackDelivery]
    next_cursor: str | None = Field(description="Cursor of the next page. Null on the last page.")


class ResendReport(BaseModel):
    """The result of one step."""

    resent: int = Field(description="Number of callbacks that are sent again.")
    given_up_before: datetime = Field(
        description="Send this value with the next step, so that callbacks that are given up meanwhile are not "
        "sent again."
    )


class SecretMade(BaseModel):
    """A new secret. This response is the only one that shows it."""

    tenant_id: str
    secret: str
    created_at: datetime


class SecretShown(BaseModel):
    """A valid secret, without its value."""

    id: int
    created_at: datetime
    created_by: str
    expires_at: datetime | None = Field(description="When the secret stops being valid. Null: it is the current one.")


class SecretList(BaseModel):
    """Valid secrets, the current one first."""

    secrets: list[SecretShown]


async def _caller(request: Request) -> Caller:
    return await gateway_of(request).access.authenticate(request.headers.get("authorization"))


@router.get("/callbacks", response_model=CallbackPage, responses=problem_errors())
async def list_callbacks(
    request: Request,
    tenant_id: Id | None = None,
    task_id: Id | None = None,
    state: State | None = None,
    event: CallbackEvent | None = None,
    limit: Annotated[int, Query(ge=1, le=_LARGEST_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=3000)] = None,
) -> Response:
    """List the callbacks of the caller's tenants, newest first. `state=dead` returns those that were given up."""
    which = DeliveryFilter(tenant_id, task_id, state, event)
    page, following = await gateway_of(request).deliveries.list(
        await _caller(request), which, limit=limit, cursor=cursor
    )
    return json_answer({"callbacks": page, "next_cursor": following})


@router.post("/callbacks/resend", response_model=ResendReport, responses=problem_errors())
async def resend_callbacks(request: Request, body: Resend) -> Response:
    """Send callbacks that were given up again, one page at a time. Repeat with the `given_up_before` of the first
    response until `resent` is 0."""
    caller = await _caller(request)
    return json_answer(asdict(await gateway_of(request).deliveries.resend_dead(caller, body, actor=caller.user_id)))


@router.get("/callbacks/{id}", response_model=CallbackDetail, responses=problem_errors(404))
async def get_callback(request: Request, id: CallbackId) -> Response:
    """Return a callback and the body that is sent."""
    row = await gateway_of(request).deliveries.get(await _caller(request), id)
    return json_answer({**row, "body": orjson.Fragment(row["body"])})


@router.post("/callbacks/{id}/resend", status_code=202, response_class=Response, responses=problem_errors(404, 409))
async def resend_callback(request: Request, id: CallbackId) -> Response:
    """Send a callback again that was delivered or given up, with the same `webhook-id`."""
    caller = await _caller(request)
    await gateway_of(request).deliveries.resend(caller, id, actor=caller.user_id)
    return Response(status_code=202)


@router.post(
    "/tenants/{id}/webhook-secret",
    status_code=201,
    response_model=SecretMade,
    responses=problem_errors(403, 404, 409),
)
async def rotate_webhook_secret(request: Request, id: TenantId, body: Rotation | None = None) -> Response:
    """Create a new secret for the callbacks of a tenant. During the overlap, callbacks are signed with both secrets."""
    caller, overlap = await _caller(request), (body or Rotation()).overlap
    if "idempotency-key" in request.headers:
        raise InvalidRequest(
            "This endpoint takes no Idempotency-Key: a secret is shown only once.", field="Idempotency-Key"
        )
    made = await gateway_of(request).tenant_secrets.rotate(caller, id, overlap, actor=caller.user_id)
    return json_answer({"tenant_id": id, "secret": made.secret, "created_at": made.created_at}, 201)


@router.get("/tenants/{id}/webhook-secret", response_model=SecretList, responses=problem_errors(403, 404))
async def list_webhook_secrets(request: Request, id: TenantId) -> Response:
    """List the valid secrets of a tenant, without their values."""
    return json_answer({"secrets": await gateway_of(request).tenant_secrets.list(await _caller(request), id)})
