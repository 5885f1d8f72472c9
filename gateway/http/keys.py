"""`/gateway/v1/keys`: API keys, made, listed, rotated and revoked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from gateway.access.key_requests import KeyRotation, KeyView, MadeKey, NewKey
from gateway.access.placement import Caller
from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of

router = APIRouter(prefix="/gateway/v1/keys", tags=["access"], route_class=KeyedRoute)

_SHOWN_ONCE = {"Cache-Control": "no-store"}
LARGEST_PAGE = 1000


class KeyPage(BaseModel):
    """Keys, ordered by ID. `next` is the `after` of the next page; null on the last page."""

    keys: list[KeyView]
    next: str | None


async def _caller(request: Request) -> Caller:
    return await gateway_of(request).access.authenticate(request.headers.get("authorization"))


@router.get("", response_model=KeyPage, responses=problem_errors(403))
async def list_keys(
    request: Request,
    tenant_id: Annotated[str | None, Query(min_length=1, description="Return only keys for this tenant.")] = None,
    user_id: Annotated[str | None, Query(min_length=1, description="Return only keys of this user.")] = None,
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
) -> Response:
    """List the keys that the caller manages: those of its tenants and its own. Administrators manage all keys."""
    caller = await _caller(request)
    found = await gateway_of(request).key_ring.list(
        caller, tenant_id=tenant_id, user_id=user_id, after=after, limit=limit
    )
    return json_answer({"keys": found, "next": found[-1]["key_id"] if len(found) == limit else None})


@router.post("", status_code=201, response_model=MadeKey, responses=problem_errors(403))
async def create_key(request: Request, new: NewKey) -> Response:
    """Create a key. This response is the only one that shows it.

    Administrators may create any key. Owners and admins of a tenant or project may create keys of their own for it.
    """
    return json_answer(await gateway_of(request).key_ring.create(await _caller(request), new), 201, _SHOWN_ONCE)


@router.get("/{key_id}", response_model=KeyView, responses=problem_errors(403, 404))
async def get_key(request: Request, key_id: str) -> Response:
    """Return a key: its state, its last use, and the key that replaces it."""
    return json_answer(await gateway_of(request).key_ring.get(await _caller(request), key_id))


@router.post("/{key_id}/rotate", status_code=201, response_model=MadeKey, responses=problem_errors(403, 404, 409))
async def rotate_key(request: Request, key_id: str, how: KeyRotation) -> Response:
    """Create a key that replaces this one. This one stays valid during the overlap. This response is the only one
    that shows the new key. Only administrators may rotate the keys of other users."""
    made = await gateway_of(request).key_ring.rotate(await _caller(request), key_id, how)
    return json_answer(made, 201, _SHOWN_ONCE)


@router.delete("/{key_id}", response_model=KeyView, responses=problem_errors(403, 404))
async def revoke_key(
    request: Request,
    key_id: str,
    why: Annotated[str | None, Query(max_length=1000, description="Reason, for the audit log.")] = None,
) -> Response:
    """Revoke a key. All gateways refuse it at once, and its open streams end within two seconds."""
    return json_answer(await gateway_of(request).key_ring.revoke(await _caller(request), key_id, why))
