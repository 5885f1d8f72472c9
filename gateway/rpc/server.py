"""The gRPC server: services, limits, TLS, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from gateway.rpc import (
    callbacks,
    dag_runs,
    dags,
    dead_letters,
    health,
    operations,
    schedules,
    service,
    tenants,
    workers,
)
from gateway.rpc.callbacks import CallbackService
from gateway.rpc.calls import Unbroken
from gateway.rpc.credentials import certificate_files
from gateway.rpc.dag_runs import DagRunService
from gateway.rpc.dags import DagService
from gateway.rpc.dead_letters import DeadLetterService
from gateway.rpc.failures import end_with
from gateway.rpc.health import Health
from gateway.rpc.operations import OperationService
from gateway.rpc.reflection import SERVICES as REFLECTION_SERVICES
from gateway.rpc.reflection import Reflection
from gateway.rpc.schedules import ScheduleService
from gateway.rpc.service import TaskService
from gateway.rpc.tenants import TenantService
from gateway.rpc.wire.connection import Connection
from gateway.rpc.wire.method import Bounds
from gateway.rpc.workers import WorkerService

if TYPE_CHECKING:
    from gateway.gateway import Gateway

log = logging.getLogger(__name__)


class GrpcServer:
    """The gRPC face of a gateway that was started. `start` and `stop` bracket its life; once each."""

    def __init__(self, gateway: Gateway) -> None:
        self._settings = gateway.settings
        self._unbroken = Unbroken()
        self.services: dict[str, Any] = {
            service.SERVICE: TaskService(gateway, self._unbroken),
            dags.SERVICE: DagService(gateway, self._unbroken),
            dag_runs.SERVICE: DagRunService(gateway, self._unbroken),
            dead_letters.SERVICE: DeadLetterService(gateway, self._unbroken),
            schedules.SERVICE: ScheduleService(gateway, self._unbroken),
            operations.SERVICE: OperationService(gateway, self._unbroken),
            callbacks.SERVICE: CallbackService(gateway, self._unbroken),
            tenants.SERVICE: TenantService(gateway, self._unbroken),
            workers.SERVICE: WorkerService(gateway),
        }
        feed = gateway.feed
        self._health = Health({"": lambda: True} | dict.fromkeys(self.services, lambda: feed.is_listening))
        self._reflection = Reflection((*self.services, health.SERVICE, *REFLECTION_SERVICES))
        self._looking: asyncio.Task[None] | None = None
        self._listener: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self.port = 0
        """Where it listens, once started."""

    async def start(self) -> None:
        """Listen. Raises `OSError` when the port is taken or a certificate file cannot be read, `ValueError` for
        settings that do not go together."""
        settings = self._settings
        handlers = {name: served.handlers() for name, served in self.services.items()}
        handlers[health.SERVICE] = self._health.handlers()
        if settings.grpc_reflection:
            handlers |= {name: self._reflection.handlers() for name in REFLECTION_SERVICES}
        methods = {f"/{name}/{method}": served for name, all_ in handlers.items() for method, served in all_.items()}
        files = certificate_files(settings)
        context = None if files is None else files.context()

        bounds = Bounds(
            settings.max_body_bytes, settings.grpc_keepalive_seconds, settings.grpc_keepalive_timeout_seconds
        )

        def accept() -> Connection:
            return Connection(methods, end_with, self._connections, self._unbroken.hold, bounds)

        host, port = settings.grpc_host, settings.grpc_port
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(accept, host, port, ssl=context, backlog=1024)
        except OSError as error:
            raise OSError(f"the gRPC face cannot listen on {host}:{port}: {error.strerror or error}") from error
        self.port = self._listener.sockets[0].getsockname()[1]
        self._looking = asyncio.create_task(self._health.look(), name="grpc-health")
        log.info("gRPC on %s:%d%s", host, self.port, "" if files is None else " (TLS)")

    async def stop(self) -> None:
        """Take no more calls and let those under way end, for `drain_seconds` at most; streams are told to resume.

        The feed's streams must have been ended (`ChangeFeed.end_streams`).
        """
        if self._listener is None:
            return
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        self._listener.close()
        self._health.end()
        self._reflection.end()
        for connection in list(self._connections):
            connection.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_seconds):
                for connection in list(self._connections):
                    await connection.closed
        for connection in list(self._connections):
            connection.close()
        await self._unbroken.finish()
