"""`/gateway/v1/legacy-use`: what keys do over legacy endpoints that their roles or permissions would refuse."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of

router = APIRouter(prefix="/gateway/v1/legacy-use", tags=["access"], route_class=KeyedRoute)


class LegacyUse(BaseModel):
    """Requests of one key that enforced roles would refuse. `key_name` and `user_id` are null if the key no longer
    exists."""

    key_id: str
    key_name: str | None
    user_id: str | None
    verb: str = Field(description="What was done. docs/access.md explains the verbs.")
    requests: int = Field(description="Number of such requests.")
    first_at: datetime
    last_at: datetime


class LegacyUses(BaseModel):
    """Uses, the most frequent first."""

    uses: list[LegacyUse]


@router.get("", response_model=LegacyUses, responses=problem_errors(403))
async def list_legacy_use(request: Request) -> Response:
    """List the requests on legacy endpoints that `TASKGATE_ENFORCE_LEGACY_ROLES` would refuse, by key. For
    administrators."""
    access = gateway_of(request).access
    await access.authenticate(request.headers.get("authorization"))
    return json_answer({"uses": await access.legacy_use()})
