"""Endpoints that only system administrators (contract §1) may use."""

from __future__ import annotations

from starlette.requests import Request

from gateway.access.placement import Caller
from gateway.http.route import gateway_of


async def require_administrator(request: Request) -> Caller:
    """The caller, who is a system administrator. Raises `Unauthenticated`, `Forbidden`."""
    return await gateway_of(request).access.authenticate_administrator(request.headers.get("authorization"))
