"""Runs the gateway's faces in one process and one event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket

import uvicorn
from sse_starlette.sse import AppStatus

from gateway.app import create_app, too_many_connections
from gateway.bootstrap import build_gateway
from gateway.gateway import Gateway
from gateway.http.connections import bounded, cut_slow_clients, most_connections
from gateway.recovery.mark import check_mark
from gateway.rpc.server import GrpcServer
from gateway.settings import Settings
from gateway.storage.preflight import check_database

log = logging.getLogger(__name__)

_CLOSE = (b"connection", b"close")
#: A connection without a request is closed after this time (seconds): later than proxies close it, who otherwise send a
#: request on it in that moment.
LONGEST_IDLE = 75
#: For HTTP connections without a request to close, once gRPC has used up the grace (seconds).
SHORTEST_GRACE = 0.2


class Server(uvicorn.Server):
    """HTTP, and gRPC beside it: both begin when the gateway has started, and end before it is closed."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._grpc: GrpcServer | None = None
        self._cutting: asyncio.Task[None] | None = None
        self._leaves_at: float | None = None
        self.failed = False
        """The gRPC face could not listen."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. A port that is taken ends the process."""
        await super().startup(sockets)
        self._cutting = asyncio.create_task(
            cut_slow_clients(self.server_state.connections, self._gateway.settings.client_seconds)
        )
        if self.started and self._gateway.settings.grpc_enabled:
            self._grpc = GrpcServer(self._gateway)
            try:
                await self._grpc.start()
            except (OSError, ValueError) as error:
                log.error("%s", error)
                self.should_exit = True
                self.failed = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop listening: `leave_seconds` after the process was told to end."""
        if not await super().on_tick(counter):
            return False
        now = asyncio.get_running_loop().time()
        if self._leaves_at is None:
            self._gateway.leaving = True
            self._leaves_at = now + (0 if self.failed else self._gateway.settings.leave_seconds)
            # Kept connections would go on bringing requests until they are cut.
            self.config.encoded_headers.append(_CLOSE)
            self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
        return self.force_exit or now >= self._leaves_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse new requests, tell streams to resume elsewhere, let the others end; then close the gateway.

        Requests of both faces end beside each other: `drain_seconds` is for all of them together.
        """
        grace = self._gateway.settings.drain_seconds
        until = asyncio.get_running_loop().time() + grace
        # Streams are requests under way: whoever waits for those would wait for ever.
        self._gateway.feed.end_streams()
        self._gateway.any_task_watch.end_streams()
        self._gateway.news_watch.end_streams()
        self._gateway.run_watch.end_streams()
        self._gateway.stage_watch.end_streams()
        self._gateway.drain_watch.end_streams()
        self._gateway.parity_watch.end_streams()
        for listener in self.servers:
            listener.close()
        if self._grpc is not None:
            await self._grpc.stop(grace)
        left = max(until - asyncio.get_running_loop().time(), SHORTEST_GRACE)
        self.config.timeout_graceful_shutdown = left  # type: ignore[assignment]  # it may have a fraction
        await super().shutdown(sockets)
        if self._cutting is not None:
            self._cutting.cancel()


def http_config(gateway: Gateway) -> uvicorn.Config:
    """How uvicorn serves a gateway."""
    settings = gateway.settings
    return uvicorn.Config(
        create_app(gateway),
        host=settings.http_host,
        port=settings.http_port,
        http=bounded(too_many_connections(settings)),
        ws="none",
        limit_concurrency=most_connections(settings.max_connections),
        forwarded_allow_ips=settings.trusted_proxies,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=LONGEST_IDLE,
        lifespan="on",
    )


def spare_the_collector() -> None:
    """Let the garbage collector pass over what lives as long as the process: modules, routes, models.

    A full collection of that holds everybody for 90 ms, and a large batch causes several.
    """
    gc.collect()
    gc.freeze()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished."""
    # Streams are ended by `Server.shutdown`, each after a whole event, not cut.
    AppStatus.enable_automatic_graceful_drain = False
    await check_database(settings.database_url)
    await check_mark(settings)
    gateway = build_gateway(settings)
    server = Server(http_config(gateway), gateway)
    spare_the_collector()
    await server.serve()
    if server.failed:
        raise SystemExit(1)
