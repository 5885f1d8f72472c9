"""The gRPC server: services, limits, TLS, and a shutdown that loses no call."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
from typing import TYPE_CHECKING, Any

import grpc

from gateway.rpc import (
    audit,
    callbacks,
    dag_runs,
    dags,
    dead_letters,
    health,
    keys,
    migration,
    operations,
    schedules,
    service,
    tenants,
    workers,
)
from gateway.rpc.audit import AuditService
from gateway.rpc.callbacks import CallbackService
from gateway.rpc.calls import KeyedCalls, Unbroken
from gateway.rpc.credentials import certificate_files
from gateway.rpc.dag_runs import DagRunService
from gateway.rpc.dags import DagService
from gateway.rpc.dead_letters import DeadLetterService
from gateway.rpc.health import Health
from gateway.rpc.keys import KeyService
from gateway.rpc.migration import MigrationService
from gateway.rpc.operations import OperationService
from gateway.rpc.peers import Proxies
from gateway.rpc.receiving import Receiver
from gateway.rpc.reflection import SERVICES as REFLECTION_SERVICES
from gateway.rpc.reflection import Reflection
from gateway.rpc.schedules import ScheduleService
from gateway.rpc.service import TaskService
from gateway.rpc.tenants import TenantService
from gateway.rpc.workers import WorkerService
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.gateway import Gateway

log = logging.getLogger(__name__)

#: Calls under way at once on all connections, open watches included; further calls are refused with RESOURCE_EXHAUSTED.
MOST_CALLS = 20_000
#: Calls under way at once on one connection; a client waits with more.
MOST_STREAMS = 2_000
#: Open connections, where the process may have so many files: gRPC takes half of those at most.
MOST_CONNECTIONS = 10_000
#: A connection without a call is closed after this time (milliseconds).
LONGEST_IDLE = 15 * 60 * 1000
#: A connection whose HTTP/2 handshake takes longer than this (milliseconds) is closed.
LONGEST_HANDSHAKE = 20_000
#: Bytes of the metadata of a call.
LARGEST_METADATA = 16 * 1024
#: A client that pings more often than this (milliseconds), and so many times, gets GOAWAY.
QUICKEST_CLIENT_PING = 10_000
MOST_PING_STRIKES = 2
#: For what must not stop half-way when its call has been cut, at the end of the server (seconds).
LAST_GRACE = 1.0


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
            audit.SERVICE: AuditService(gateway),
            keys.SERVICE: KeyService(gateway, self._unbroken),
            workers.SERVICE: WorkerService(gateway, self._unbroken),
            migration.SERVICE: MigrationService(gateway, self._unbroken),
        }
        receiver = Receiver(gateway.access, gateway.held, gateway.sandbox, largest=gateway.settings.max_body_bytes)
        answered = gateway.telemetry.events.answered
        self.calls = KeyedCalls(
            gateway.access,
            receiver,
            proxies=Proxies(gateway.settings.trusted_proxies),
            count=lambda failed: answered("grpc", failed=failed),
        )
        feed = gateway.feed
        self._health = Health(
            {"": lambda: not gateway.leaving}
            | dict.fromkeys(self.services, lambda: feed.is_listening and not gateway.leaving)
        )
        self._reflection = Reflection((*self.services, health.SERVICE, *REFLECTION_SERVICES))
        self._looking: asyncio.Task[None] | None = None
        self._interceptors = gateway.telemetry.grpc_interceptors()
        self._server: grpc.aio.Server | None = None
        self.port = 0
        """Where it listens, once started."""

    async def start(self) -> None:
        """Listen. Raises `OSError` when the port is taken or a certificate file cannot be read, `ValueError` for
        settings that do not go together."""
        settings = self._settings
        server = grpc.aio.server(
            options=options_of(settings), maximum_concurrent_rpcs=MOST_CALLS, interceptors=self._interceptors
        )
        handlers = {name: served.handlers(self.calls) for name, served in self.services.items()}
        handlers[health.SERVICE] = self._health.handlers()
        if settings.grpc_reflection:
            handlers |= {name: self._reflection.handlers() for name in REFLECTION_SERVICES}
        # Not as registered methods: for each call grpc waits anew for all of those, and there are about ninety.
        for name, methods in handlers.items():
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, dict(methods)),))
        host = f"[{settings.grpc_host}]" if ":" in settings.grpc_host else settings.grpc_host
        address = f"{host}:{settings.grpc_port}"
        files = certificate_files(settings)
        try:
            if files is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, files.credentials())
        except RuntimeError as error:
            raise OSError(f"the gRPC face cannot listen on {address}") from error
        await server.start()
        self._server = server
        self._looking = asyncio.create_task(self._health.look(), name="grpc-health")
        secure = "" if files is None else " (TLS)"
        log.info("gRPC on %s:%d%s, up to %d connections", host, self.port, secure, most_connections())

    async def stop(self, grace: float | None = None) -> None:
        """Take no more calls and let those under way end, for `grace` seconds at most (None: `drain_seconds`); streams
        are told to resume.

        The feed's streams must have been ended (`ChangeFeed.end_streams`).
        """
        grace = self._settings.drain_seconds if grace is None else grace
        until = asyncio.get_running_loop().time() + grace
        if self._server is None:
            return
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
        self._health.end()
        self._reflection.end()
        await self._server.stop(grace)
        await self._unbroken.finish(max(until - asyncio.get_running_loop().time(), LAST_GRACE))


def most_connections() -> int:
    """How many connections are accepted; further ones are closed at once."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, files // 2)


def options_of(settings: Settings) -> list[tuple[str, Any]]:
    """Options of the server (grpc/impl/channel_arg_names.h)."""
    return [
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", LARGEST_METADATA // 2),
        ("grpc.absolute_max_metadata_size", LARGEST_METADATA),
        ("grpc.max_concurrent_streams", MOST_STREAMS),
        ("grpc.max_allowed_incoming_connections", most_connections()),
        ("grpc.max_connection_idle_ms", LONGEST_IDLE),
        ("grpc.server_handshake_timeout_ms", LONGEST_HANDSHAKE),
        ("grpc.http2.bdp_probe", 0),
        # Otherwise two gateways on one port would share it silently.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", int(settings.grpc_keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", int(settings.grpc_keepalive_timeout_seconds * 1000)),
        # A watched task may be quiet for hours.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", QUICKEST_CLIENT_PING),
        ("grpc.http2.max_ping_strikes", MOST_PING_STRIKES),
    ]
