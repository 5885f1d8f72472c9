"""Builds the HTTP application: endpoints, guards, error answers, description."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute, APIRouter
from fastapi_offline import FastAPIOffline
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import TooManyConnections
from gateway.http.batches import PATH as BATCH_PATH
from gateway.http.bodies import Bodies
from gateway.http.console import CONSOLE, Console
from gateway.http.guards import LEGACY_API, Guards
from gateway.http.health import readiness_of, taskgate_version
from gateway.http.openapi import describe
from gateway.http.passthrough import Passthrough
from gateway.http.problems import error_answer, install
from gateway.http.request_counts import RequestCounts
from gateway.http.request_ids import RequestIds
from gateway.http.session_cookies import SessionCookies
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.gateway import Gateway

log = logging.getLogger(__name__)

#: One module per part of the API. Those that are asked most come first: routes are tried in this order.
PARTS = (
    "episodes",
    "memories",
    "tasks",
    "stream",
    "batches",
    "task_list",
    "task_list_stream",
    "task_links",
    "task_payload",
    "submissions",
    "operations",
    "run_at",
    "schedules",
    "communities",
    "maintenance",
    "overview",
    "workers",
    "scale",
    "dead_letters",
    "drain",
    "dags",
    "dag_stream",
    "dag_runs",
    "callbacks",
    "tenants",
    "quotas",
    "pauses",
    "keys",
    "session",
    "audit",
    "news",
    "migration_stages",
    "migration_stream",
    "legacy_use",
    "migration_ledger",
    "migration_parity",
    "migration_rampdown",
    "migration_guardrails",
    "migration_rehearsal",
    "migration_plans",
    "migration_preview",
    "health",
)

_DESCRIPTION = """The task API of MemStack, served by the migration gateway: each task runs on the backend that its
tenant's flag chooses. Everything else under `/api/v1` is passed through to the MemStack API server."""


def create_app(gateway: Gateway) -> FastAPI:
    """The application; its lifespan starts and closes the gateway."""
    settings = gateway.settings
    passthrough = Passthrough(settings.upstream_url, timeout=settings.passthrough_timeout_seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            try:
                await gateway.start()
                yield
            finally:
                await passthrough.close()
                await gateway.close()
        except Exception:
            # The server is told this as a text with all that the error quotes, which is not logged.
            log.exception("the gateway does not start, or not end, in order")
            raise

    make_app = FastAPIOffline if settings.api_docs else partial(FastAPI, openapi_url=None)
    app = make_app(
        title="taskgate",
        version=taskgate_version(),
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        # Its records of refused requests would repeat what clients sent.
        telemetry={"logs": False},
    )
    app.state.gateway = gateway
    app.state.readiness = readiness_of(gateway)
    app.state.bodies = Bodies(gateway.sandbox, max_depth=settings.max_json_depth)
    routers: list[APIRouter] = [import_module(f"gateway.http.{part}").router for part in PARTS]
    for router in routers:
        # Not `include_router`, which would look for the route of each request twice.
        app.router.routes.extend(router.routes)
    install(app)
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    app.add_middleware(
        Guards,
        is_own=_own_paths(routes),
        passthrough=passthrough,
        max_body_bytes=settings.max_body_bytes,
        larger_bodies={BATCH_PATH: settings.max_batch_bytes},
    )
    # The outermost, so that refusals of the guards and answers of the upstream are for pages of other origins, too.
    app.add_middleware(CORSMiddleware, **_cors(settings))
    if settings.console:
        console = Console(settings.console_files)
        app.router.routes += [Route(CONSOLE, console), Mount(CONSOLE, console)]
        # Outside of what lets pages of other origins in: to those a session means nothing.
        app.add_middleware(SessionCookies)
    answered = gateway.telemetry.events.answered
    app.add_middleware(RequestCounts, count=lambda failed: answered("http", failed=failed))
    app.add_middleware(RequestIds)
    if gateway.telemetry.tracing is not None:
        app.add_middleware(
            import_module("gateway.observability.http_spans").HttpSpans, tracing=gateway.telemetry.tracing
        )
    describe(app)
    return app


def too_many_connections(settings: Settings) -> ASGIApp:
    """Answers every request beyond the limit of connections, also for pages of other origins."""

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        error = TooManyConnections()
        headers = {"Retry-After": "1", "Connection": "close"}
        answer = error_answer(scope["path"], error.http_status, error.message, code=error.code, headers=headers)
        await answer(scope, receive, send)

    return CORSMiddleware(refuse, **_cors(settings))


def _cors(settings: Settings) -> dict[str, Any]:
    """Pages of which origins may call; also from a public page to a gateway in a private network."""
    return {
        "allow_origins": settings.allowed_origins,
        "allow_credentials": True,
        "allow_methods": ["*"],
        "allow_headers": ["*"],
        "allow_private_network": True,
    }


def _own_paths(routes: Iterable[APIRoute]) -> Callable[[str, str], bool]:
    """Which requests under /api/v1 the gateway serves, with or without the last slash (FastAPI redirects those)."""
    own = {
        (method, route.path.rstrip("/"))
        for route in routes
        if route.path.startswith(LEGACY_API) and "{" not in route.path
        for method in route.methods or ()
    }
    return lambda method, path: (method, path.removesuffix("/")) in own
