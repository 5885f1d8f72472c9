"""The dependencies of all parts of a gateway: settings, PostgreSQL, engines, the flag, access, the process's lease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as package_version

from backends.port import Capability, WorkflowEnginePort
from backends.redis_queue.engine import RedisQueueEngine
from gateway.access.access import Access
from gateway.access.sessions import Sessions
from gateway.bootstrap.telemetry import build_telemetry
from gateway.engines import build_engines
from gateway.migration.flags.build import build_api
from gateway.migration.flags.launchdarkly_audit import LaunchDarklyAuditLog
from gateway.migration.ledger.authors import Authors
from gateway.migration.ledger.entries import EntriesInForce
from gateway.migration.ledger.observer import RoutingObserver
from gateway.observability.telemetry import Telemetry
from gateway.recovery.lease import Lease, ProcessIdentity
from gateway.routing.flags import FlagSource
from gateway.routing.overrides import Overrides
from gateway.routing.router import Router
from gateway.sandbox.checks import CHECK_MEGABYTES
from gateway.sandbox.pool import Sandbox
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from gateway.tasks.changes.arrivals import Arrivals
from gateway.tasks.changes.notifier import Notifier


@dataclass(frozen=True)
class Dependencies:
    """Parts that only need the ones before them."""

    settings: Settings
    database: Database
    listener: Listener
    engines: Mapping[str, WorkflowEnginePort]
    flags: FlagSource
    overrides: Overrides
    observer: RoutingObserver
    router: Router
    notifier: Notifier
    arrivals: Arrivals
    lease: Lease
    sessions: Sessions
    access: Access
    telemetry: Telemetry
    sandbox: Sandbox

    @property
    def fenced(self) -> list[str]:
        """Backends whose workers claim."""
        return [name for name, engine in self.engines.items() if Capability.FENCED in engine.capabilities]

    @property
    def redis(self) -> RedisQueueEngine | None:
        """The Redis queue, if there is one, where legacy producers and workers push payloads."""
        engine = self.engines.get("redis")
        return engine if isinstance(engine, RedisQueueEngine) else None


def build_dependencies(settings: Settings, engines: Mapping[str, WorkflowEnginePort] | None) -> Dependencies:
    """`engines` None: those that are configured."""
    database = Database(settings.follow("database_url"), size=settings.database_pool_size)
    if engines is None:
        engines = build_engines(settings)
    listener = Listener(database)
    entries = EntriesInForce()
    flags = FlagSource.from_settings(settings, database, listener, held=True)
    api = build_api(settings)
    authors = Authors(database, flags, None if api is None else LaunchDarklyAuditLog(api))
    observer = RoutingObserver(database, listener, flags, entries, authors)
    telemetry = build_telemetry(settings, taskgate_version())
    overrides = Overrides(database, listener, load=observer.load_overrides)
    sessions = Sessions(database, idle_seconds=settings.session_idle_seconds, absolute_seconds=settings.session_seconds)
    return Dependencies(
        settings=settings,
        database=database,
        listener=listener,
        engines=engines,
        flags=flags,
        overrides=overrides,
        observer=observer,
        router=Router(flags, overrides, frozenset(engines), entries, on_evaluated=telemetry.events.evaluated),
        notifier=Notifier(database),
        arrivals=Arrivals(database, listener),
        lease=Lease(
            settings.follow("database_url"),
            ProcessIdentity("gateway", taskgate_version(), flag_owner=flags.owner),
            limit=settings.lease_seconds,
        ),
        sessions=sessions,
        access=Access(
            database,
            listener=listener,
            failed_attempts=settings.failed_attempts_per_minute,
            shared_default_group=settings.shared_default_group,
            enforce_legacy=settings.enforce_legacy_roles,
            sessions=sessions,
        ),
        telemetry=telemetry,
        sandbox=Sandbox(megabytes=CHECK_MEGABYTES, preload=("gateway.app",)),
    )


def taskgate_version() -> str:
    return package_version("taskgate")
