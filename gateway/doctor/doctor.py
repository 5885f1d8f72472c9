"""`examine` looks from outside at what a gateway with these settings needs.

It changes nothing, but that a connection to Temporal adds search attributes that the namespace lacks, as a start does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import asyncpg

from backends.errors import EngineError
from gateway.doctor.check import Check, Verdict, failed
from gateway.doctor.on_database import (
    check_clock,
    check_dead_letters,
    check_duties,
    check_fleet,
    check_schema,
    check_server,
    check_workers,
)
from gateway.doctor.on_engines import check_flags, check_redis, check_temporal
from gateway.errors import DatabaseReadOnly, DatabaseUnavailable
from gateway.routing.router import configured_backends
from gateway.settings import Settings
from gateway.storage.database import Database

#: Longest wait for one check (seconds).
PATIENCE = 15.0
_ADDRESSES = {
    "database": "TASKGATE_DATABASE_URL",
    "redis": "TASKGATE_REDIS_URL",
    "temporal": "TASKGATE_TEMPORAL_ADDRESS, TASKGATE_TEMPORAL_NAMESPACE",
}


async def examine(settings: Settings) -> list[Check]:
    """One line for each thing that was looked at. What lies in a database that is away is left out."""
    database = Database(settings.database_url, size=2, acquire_timeout=PATIENCE, name="taskgate doctor")
    engines = asyncio.gather(
        _look("redis", check_redis(settings)),
        _look("temporal", check_temporal(settings)),
    )
    try:
        checks = [await _look("database", check_server(database))]
        if checks[0].verdict is Verdict.OK:
            checks.append(await _look("schema", check_schema(database, settings)))
        if all(check.verdict is not Verdict.FAILED for check in checks):
            checks += await asyncio.gather(
                _look("clock", check_clock(database)),
                _look("flags", check_flags(settings, database)),
                _look("leases", check_fleet(database, settings)),
                _look("duties", check_duties(database, sorted(configured_backends(settings)))),
                _look("dead letters", check_dead_letters(database)),
                _look("workers", check_workers(database)),
            )
        return [*checks[:2], *await engines, *checks[2:]]
    finally:
        engines.cancel()
        await asyncio.gather(engines, return_exceptions=True)
        await database.close()


async def _look(name: str, check: Awaitable[Check]) -> Check:
    remedy = f"see {_ADDRESSES.get(name, _ADDRESSES['database'])}"
    try:
        async with asyncio.timeout(PATIENCE):
            return await check
    except TimeoutError:
        return failed(name, f"no answer within {PATIENCE:g} s", remedy)
    except DatabaseReadOnly as error:
        return failed(name, error.message, f"{remedy}: it must name the primary")
    except DatabaseUnavailable as error:
        return failed(name, f"{error.message} ({error.__cause__})", remedy)
    except asyncpg.InsufficientPrivilegeError as error:
        return failed(name, str(error), "see the rights in docs/install.md")
    except EngineError as error:
        return failed(name, error.message, remedy)
