"""`/gateway/v1/workers`: the fleet, and one of it that is to leave; for administrators."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from gateway.fleet.drain_request import DrainRequest
from gateway.fleet.fleet import BusyMember, Member
from gateway.http.acceptance import json_answer
from gateway.http.openapi_errors import problem_errors
from gateway.http.route import KeyedRoute, gateway_of

router = APIRouter(prefix="/gateway/v1/workers", tags=["workers"], route_class=KeyedRoute)

_LARGEST_PAGE = 1000
_LARGEST_OFFSET = 2**31 - 1


class Workers(BaseModel):
    """Worker processes, ordered by backend, pool and host."""

    workers: list[Member]


@router.get("", response_model=Workers, responses=problem_errors(403))
async def list_workers(
    request: Request,
    kind: Annotated[Literal["worker", "gateway", "all"], Query(description="Kind of processes to return.")] = "worker",
    pool: Annotated[
        str | None, Query(description="Return only processes of this pool: `A`, `B`, `C` or `redis`. Default: all.")
    ] = None,
    backend: Annotated[str | None, Query()] = None,
    gone: Annotated[
        bool, Query(description="Return processes that ended or were lost within the last day, too.")
    ] = False,
    limit: Annotated[int, Query(ge=1, le=_LARGEST_PAGE)] = _LARGEST_PAGE,
    offset: Annotated[int, Query(ge=0, le=_LARGEST_OFFSET)] = 0,
) -> Response:
    """List worker processes, and how many of their slots are in use. For administrators."""
    await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    found = await gateway_of(request).fleet.members(
        kind=None if kind == "all" else kind, pool=pool, backend=backend, gone=gone, limit=limit, offset=offset
    )
    return json_answer({"workers": [asdict(member) for member in found]})


@router.get("/{process_id}", response_model=BusyMember, responses=problem_errors(403, 404))
async def get_worker(request: Request, process_id: str) -> Response:
    """Return one process and the tasks that it runs. For administrators."""
    await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    return json_answer(asdict(await gateway_of(request).fleet.member(process_id)))


@router.post("/{process_id}/drain", response_model=Member, responses=problem_errors(403, 404, 409))
async def drain_worker(request: Request, process_id: str, body: DrainRequest) -> Response:
    """Drain a worker: it takes no more tasks, finishes those that it runs, and ends. It is not replaced. For
    administrators.

    The worker notices this within three seconds. If it is already being drained, the first request stays in force.
    """
    caller = await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    member = await gateway_of(request).fleet.drain(process_id, by=caller.user_id, why=body.why)
    return json_answer(asdict(member))
