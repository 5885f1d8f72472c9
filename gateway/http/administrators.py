"""Endpoints that only system administrators (contract §1) may use."""

from __future__ import annotations

from starlette.requests import Request

from gateway.access.placement import Caller
from gateway.errors import Forbidden
from gateway.http.route import gateway_of


async def require_administrator(request: Request) -> Caller:
    """The caller, who is a system administrator. Raises `Unauthenticated`, `Forbidden`."""
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    if not caller.is_admin:
        raise Forbidden("Only administrators may see this")
    return caller
