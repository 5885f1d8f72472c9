"""What every part of a gateway stands on: settings, PostgreSQL, engines, the flag, access, the process's lease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as package_version

from backends.port import Capability, WorkflowEnginePort
from backends.redis_queue.engine import RedisQueueEngine
from gateway.access.access import Access
from gateway.engines import build_engines
from gateway.recovery.lease import Lease, ProcessIdentity
from gateway.routing.flags import FlagSource
from gateway.routing.overrides import Overrides
from gateway.routing.router import Router
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from gateway.tasks.changes.notifier import Notifier


@dataclass(frozen=True)
class Dependencies:
    """Parts that need no other part than those before them."""

    settings: Settings
    database: Database
    listener: Listener
    engines: Mapping[str, WorkflowEnginePort]
    flags: FlagSource
    overrides: Overrides
    router: Router
    notifier: Notifier
    lease: Lease
    access: Access

    @property
    def fenced(self) -> list[str]:
        """Backends whose workers claim."""
        return [name for name, engine in self.engines.items() if Capability.FENCED in engine.capabilities]

    @property
    def redis(self) -> RedisQueueEngine | None:
        """The Redis queue, when there is one: legacy producers and workers leave things there."""
        engine = self.engines.get("redis")
        return engine if isinstance(engine, RedisQueueEngine) else None


def build_dependencies(settings: Settings, engines: Mapping[str, WorkflowEnginePort] | None) -> Dependencies:
    """`engines` None: those that are configured."""
    database = Database(settings.database_url, size=settings.database_pool_size)
    if engines is None:
        engines = build_engines(settings)
    listener = Listener(database)
    flags, overrides = build_flags(settings), Overrides(database, listener)
    return Dependencies(
        settings=settings,
        database=database,
        listener=listener,
        engines=engines,
        flags=flags,
        overrides=overrides,
        router=Router(flags, overrides, configured=frozenset(engines)),
        notifier=Notifier(database),
        lease=Lease(
            settings.database_url,
            ProcessIdentity("gateway", taskgate_version(), flag_owner=flags.owner),
            limit=settings.lease_seconds,
        ),
        access=Access(
            database,
            shared_default_group=settings.shared_default_group,
            enforce_legacy=settings.enforce_legacy_roles,
        ),
    )


def taskgate_version() -> str:
    return package_version("taskgate")


def build_flags(settings: Settings) -> FlagSource:
    """LaunchDarkly with an SDK key, else the flag file, else `off` for everybody."""
    key = settings.launchdarkly_sdk_key
    return FlagSource(
        flag_key=settings.flag_key,
        file=settings.flags_file,
        sdk_key=key.get_secret_value() if key else None,
        base_url=settings.launchdarkly_base_url,
    )
