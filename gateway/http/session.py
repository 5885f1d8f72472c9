"""`/gateway/v1/session`: sign in to the console with a key, see who one is, sign out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.access.keys import read_key
from gateway.access.placement import Caller
from gateway.access.sessions import csrf_token
from gateway.access.verbs import Level, Verb
from gateway.errors import ApiError, InvalidRequest
from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of
from gateway.http.session_cookies import SESSION_PATH, SESSION_TOKEN, clear_cookie, set_cookie

router = APIRouter(prefix=SESSION_PATH, tags=["access"], route_class=KeyedRoute)

_UNCACHED = {"Cache-Control": "no-store"}


class ConsoleOff(ApiError):
    """The console is switched off at this gateway (TASKGATE_CONSOLE)"""

    code = "console_off"
    http_status = 404
    grpc_status = "NOT_FOUND"


class SessionView(BaseModel):
    """The caller, and what it may do."""

    user_id: str
    is_admin: bool = Field(description="Whether the caller is an administrator, who sees all tenants.")
    tenant_ids: list[str] = Field(description="Tenants of the caller.")
    only_project: str | None = Field(description="Project that the caller's key is restricted to. Null: none.")
    permitted: list[str] = Field(
        description="Verbs that the caller may use for at least one of its tenants or projects. docs/access.md "
        "explains them."
    )
    permitted_by_tenant: dict[str, list[str]] = Field(
        description="The same for each of the caller's tenants, by its ID. Empty for an administrator, whose verbs are "
        "the same everywhere."
    )
    permitted_by_project: dict[str, list[str]] = Field(
        description="The same by the ID of the project, for projects in which the caller has a role of its own: that "
        "role decides there, unless the caller manages the tenant."
    )
    expires_at: datetime | None = Field(description="Latest end of the session. Null: the caller used a key.")
    csrf_token: str | None = Field(
        description="Send this in the header `X-CSRF-Token` with each request that changes something. Null: the "
        "caller used a key."
    )
    now: datetime = Field(description="Current time of the gateway.")


@router.post("", status_code=201, response_model=SessionView, responses=problem_errors(403, 404))
async def sign_in(request: Request) -> Response:
    """Exchange an API key for a console session. The response sets a cookie, which is valid for pages of this origin
    only."""
    gateway = gateway_of(request)
    if not gateway.settings.console:
        raise ConsoleOff
    authorization = request.headers.get("authorization")
    read_key(authorization)  # a session that made another would never end
    caller, permitted, _ = await gateway.access.identify(authorization)
    token, expires_at = await gateway.sessions.open(caller)
    answer = _view(caller, permitted, expires_at, token, status=201)
    set_cookie(answer, request.scope, token, gateway.settings.session_seconds)
    return answer


@router.get("", response_model=SessionView, responses=problem_errors())
async def get_session(request: Request) -> Response:
    """Return who the caller is and what it may do. Works with a session and with a key."""
    access = gateway_of(request).access
    caller, permitted, expires_at = await access.identify(request.headers.get("authorization"))
    return _view(caller, permitted, expires_at, request.scope.get(SESSION_TOKEN))


@router.delete("", status_code=204, responses=problem_errors())
async def sign_out(
    request: Request,
    everywhere: Annotated[bool, Query(description="End all sessions of the user, not only this one.")] = False,
) -> Response:
    """End the session. Its cookie becomes invalid at once, and its open streams end within two seconds."""
    gateway = gateway_of(request)
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    if caller.session_id is None and not everywhere:
        raise InvalidRequest("A key has no session of its own to end.", field="everywhere")
    await gateway.sessions.close(caller, everywhere=everywhere)
    answer = Response(status_code=204, headers=_UNCACHED)
    clear_cookie(answer, request.scope)
    return answer


def _view(
    caller: Caller, permitted: frozenset[Verb], expires_at: datetime | None, token: str | None, *, status: int = 200
) -> Response:
    assert caller.rights is not None  # only legacy endpoints go without
    roles = caller.rights.roles
    tenants = () if caller.is_admin else sorted(caller.belongs_to)
    projects = {} if caller.is_admin else roles.projects
    view = {
        "user_id": caller.user_id,
        "is_admin": caller.is_admin,
        "tenant_ids": sorted(caller.belongs_to),
        "only_project": None if caller.only is None else caller.only.project_id,
        "permitted": _names(permitted),
        "permitted_by_tenant": {one: _names(permitted, roles.level(one, None)) for one in tenants},
        "permitted_by_project": {
            one: _names(permitted, roles.level(role.tenant_id, one))
            for one, role in projects.items()
            if role.tenant_id in caller.belongs_to
        },
        "expires_at": expires_at,
        "csrf_token": None if token is None else csrf_token(token),
        "now": datetime.now(UTC),
    }
    return json_answer(view, status, _UNCACHED)


def _names(verbs: frozenset[Verb], level: Level = Level.ADMINISTRATOR) -> list[str]:
    """Of those verbs that this level may use."""
    return sorted(verb.name.lower() for verb in verbs if level >= verb.level)
