"""Is the process alive (`GET /health`, contract §4), has it started, can it do its work (`GET /gateway/v1/ready`)?"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any, Literal

import asyncpg
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from backends.errors import EngineError
from gateway.access.verbs import ASKED, Asked, Verb
from gateway.dispatch.unserved import lines as unserved_lines
from gateway.dispatch.unserved import unserved
from gateway.errors import ApiError, DatabaseReadOnly, DatabaseUnavailable
from gateway.gateway import Gateway
from gateway.http.acceptance import json_answer
from gateway.http.route import client_of, gateway_of, operation_id
from gateway.http.shared_reading import SharedReading
from gateway.recovery.mark import BEHIND
from gateway.recovery.mark import SQL as MARK_SQL
from gateway.routing.stranded import Left, left_on_redis, lines, stranded
from gateway.storage.database import IS_WRITABLE, Database

router = APIRouter(tags=["health"], generate_unique_id_function=operation_id)

#: A part that does not answer within this time (seconds) counts as away.
_PATIENCE = 2.0
#: For so long after it (seconds) what was read is told.
_KEPT_SECONDS = 1.0


@cache
def taskgate_version() -> str:
    """The version of the installed package."""
    return version("taskgate")


class Health(BaseModel):
    """The process serves requests."""

    status: Literal["ok"]
    version: str


class Part(BaseModel):
    """State of one server that the gateway depends on."""

    status: Literal["ok", "away"]
    detail: str | None = None


class Readiness(BaseModel):
    """Whether the gateway can do its work.

    `ready`: everything works. `degraded`: tasks are accepted, but some have to wait. `unavailable`: no task can be
    accepted. `leaving`: the gateway is shutting down; requests are still served.
    """

    status: Literal["ready", "degraded", "unavailable", "leaving"]
    version: str
    database: Part
    backends: dict[str, Part]
    problems: list[str]


@dataclass(slots=True)
class Found:
    """What readiness is told from: the state of each server, and what PostgreSQL says waits in vain."""

    database: dict[str, Any]
    backends: dict[str, dict[str, Any]]
    is_behind: bool = False
    left: list[Left] = field(default_factory=list)
    idle: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def has_database(self) -> bool:
        return bool(self.database["status"] == "ok")


def readiness_of(gateway: Gateway) -> SharedReading[Found]:
    """Read once for all who ask within a second: they need no key, and reading takes connections that requests need."""
    return SharedReading(lambda: _read(gateway), seconds=_KEPT_SECONDS)


@router.get("/health", response_model=Health)
@router.head("/health", include_in_schema=False)
async def get_health() -> Response:
    """Return 200 while the process is alive. Nothing else is checked."""
    return json_answer({"status": "ok", "version": taskgate_version()})


class Startup(BaseModel):
    """`started`: the process is registered and takes part in the work of the fleet."""

    status: Literal["started", "starting"]
    version: str


@router.head("/gateway/v1/started", include_in_schema=False)
@router.get(
    "/gateway/v1/started",
    response_model=Startup,
    responses={503: {"model": Startup, "description": "The process has not reached its database yet"}},
)
async def get_startup(request: Request) -> Response:
    """Return whether the process has started. Once it has, the answer does not change, even if a server is
    unavailable later. Needs no key."""
    if gateway_of(request).lease.was_held:
        return json_answer({"status": "started", "version": taskgate_version()})
    return json_answer({"status": "starting", "version": taskgate_version()}, 503, {"Retry-After": "1"})


@router.head("/gateway/v1/ready", include_in_schema=False)
@router.get(
    "/gateway/v1/ready",
    response_model=Readiness,
    responses={
        503: {"model": Readiness, "description": "The database is unavailable, or the gateway is shutting down"}
    },
)
async def get_readiness(request: Request) -> Response:
    """Return whether the gateway can do its work, and the state of each server that it depends on. Needs no key.

    With an administrator's key, `problems` also names the tenants and task types that are concerned, and the causes.
    """
    gateway = gateway_of(request)
    shared: SharedReading[Found] = request.app.state.readiness
    found = await shared.get()
    in_full = found.has_database and await _is_administrator(request)
    problems = gateway.router.problems() if in_full else _less(gateway.router.problems_in_brief())
    if found.is_behind:
        problems.append(BEHIND)
    problems += _waiting(gateway, found, in_full=in_full)
    if not found.has_database:
        status = "unavailable"
    elif gateway.leaving:
        status = "leaving"
    elif problems or any(part["status"] != "ok" for part in found.backends.values()):
        status = "degraded"
    else:
        status = "ready"
    content = {
        "status": status,
        "version": taskgate_version(),
        "database": found.database,
        "backends": found.backends,
        "problems": problems,
    }
    if status in ("unavailable", "leaving"):
        return json_answer(content, 503, {"Retry-After": "2"})
    return json_answer(content)


async def _is_administrator(request: Request) -> bool:
    ASKED.set(Asked(Verb.OBSERVE, address=client_of(request.scope)))
    try:
        await gateway_of(request).access.authenticate(request.headers.get("authorization"))
    except ApiError:  # whatever is wrong with the key, readiness is told without one, too
        return False
    return True


def _less(lines: list[str]) -> list[str]:
    return [f"{line} (an administrator's key says which)" for line in lines]


def _waiting(gateway: Gateway, found: Found, *, in_full: bool) -> list[str]:
    """Tasks that stage `complete` left on Redis, and those that no live worker takes."""
    lost = stranded(found.left, lambda query: gateway.router.route(query).stage)
    if in_full:
        of_types = unserved_lines(found.idle)
        return [f"stranded: {line}, and stage complete gives redis up" for line in lines(lost)] + of_types
    count, waiting = sum(one.tasks for one in lost), found.idle.total()
    told = [f"stranded: still on redis, which stage complete gives up: {count}"] if count else []
    told += [f"tasks whose type no live worker serves: {waiting}"] if waiting else []
    return _less(told)


async def _read(gateway: Gateway) -> Found:
    names = list(gateway.engines)
    database, *backends = await asyncio.gather(
        _look(_check_writable(gateway.database)),
        *(_look(gateway.engines[name].check_health()) for name in names),
    )
    found = Found(database, dict(zip(names, backends, strict=True)))
    if found.has_database:
        found.is_behind = await _is_behind(gateway)
        found.left, found.idle = await _left_and_idle(gateway)
    return found


async def _left_and_idle(gateway: Gateway) -> tuple[list[Left], Counter[tuple[str, str]]]:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await asyncio.gather(left_on_redis(gateway.database), unserved(gateway.database))
    except (TimeoutError, DatabaseUnavailable, asyncpg.UndefinedTableError):
        return [], Counter()


async def _is_behind(gateway: Gateway) -> bool:
    """Whether a leader found that a backup was restored, and not recovered."""
    try:
        async with asyncio.timeout(_PATIENCE):
            row = await gateway.database.fetchrow(MARK_SQL.read)
    except (TimeoutError, DatabaseUnavailable, asyncpg.UndefinedTableError):
        return False
    return row is not None and bool(row["is_behind"])


async def _check_writable(database: Database) -> None:
    """Raises `DatabaseReadOnly`: a standby, or a server that takes no writes, answers all the same."""
    if not await database.fetchval(IS_WRITABLE):
        raise DatabaseReadOnly


async def _look(answer: Awaitable[Any]) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_PATIENCE):
            await answer
    except TimeoutError:
        return {"status": "away", "detail": f"no answer within {_PATIENCE:g} s"}
    except (DatabaseUnavailable, EngineError) as error:
        return {"status": "away", "detail": type(error).__doc__}
    return {"status": "ok", "detail": None}
