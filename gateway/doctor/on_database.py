"""Checks of PostgreSQL, and of what its rows say of the fleet and of tasks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from gateway.dispatch.unserved import lines as unserved_lines
from gateway.dispatch.unserved import unserved
from gateway.doctor.check import Check, failed, ok, warning
from gateway.errors import DatabaseReadOnly
from gateway.fleet.fleet import Fleet, Member
from gateway.recovery.duties import SQL as DUTIES_SQL
from gateway.recovery.mark import check_mark
from gateway.settings import Settings
from gateway.storage.database import IS_WRITABLE, Database
from gateway.storage.preflight import DatabaseUnfit, check_database
from gateway.storage.queries import Queries
from gateway.storage.schema.revisions import known_revisions

SQL = Queries("gateway.doctor", "doctor.sql")

#: A clock that is off by more is told (seconds): due times and expiries of keys are judged by both.
CLOCK_SECONDS = 1.0
#: Duties that failed so often are told.
TROUBLED = 3


async def check_server(database: Database) -> Check:
    """It answers, and takes writes. Raises `DatabaseUnavailable`, `DatabaseReadOnly`."""
    found = await database.fetchrow(SQL.server)
    assert found is not None
    if not await database.fetchval(IS_WRITABLE):
        raise DatabaseReadOnly
    return ok("database", f"PostgreSQL {found['version']}, database {found['name']} as {found['who']}")


async def check_schema(database: Database, settings: Settings) -> Check:
    """Tables, rights, the newest revision, and no restore that nobody has followed up: what `serve` asks, and more."""
    try:
        await check_database(settings.database_url)
        await check_mark(settings)
    except DatabaseUnfit as error:
        told, _, remedy = error.message.partition(": ")
        return failed("schema", told, remedy)
    reached = str(await database.fetchval(SQL.revision))
    if reached in known_revisions():
        return ok("schema", f"at {reached}, rights are there")
    return warning("schema", f"at {reached}, which this release does not know", "run the newer release of the command")


async def check_clock(database: Database) -> Check:
    """This host's clock beside the server's, between which an answer was on its way."""
    before = time.time()
    theirs = float(await database.fetchval(SQL.clock))
    after = time.time()
    ahead = max(theirs - after, before - theirs, 0.0)
    if ahead <= CLOCK_SECONDS:
        return ok("clock", f"within {CLOCK_SECONDS:g} s of PostgreSQL's")
    return warning("clock", f"{ahead:.1f} s off PostgreSQL's", "let both hosts follow the same time servers (NTP)")


async def check_fleet(database: Database, settings: Settings) -> Check:
    """Gateways and workers by their leases."""
    members = await Fleet(database, lease_seconds=settings.lease_seconds).members(kind=None)
    told = f"{_count(members, 'gateway')}, {_count(members, 'worker')}"
    if silent := [member for member in members if member.state == "silent"]:
        names = ", ".join(f"{one.process_id} on {one.host}" for one in silent[:5])
        return warning("leases", f"{told}; late to renew: {names}", "see whether that host is overloaded or cut off")
    versions = Counter(member.version for member in members)
    if len(versions) > 1:
        those = ", ".join(f"{number} of {version}" for version, number in sorted(versions.items()))
        return warning("leases", f"{told}; releases differ: {those}", "finish the upgrade (docs/upgrading.md)")
    if not any(member.kind == "gateway" for member in members):
        return warning("leases", f"{told}: nobody starts tasks", "start `taskgate serve`")
    return ok("leases", told)


async def check_duties(database: Database, engines: Sequence[str]) -> Check:
    """Messages that engines must get."""
    if homeless := await database.fetch(DUTIES_SQL.homeless, list(engines)):
        told = ", ".join(f"{row['duties']} for {row['backend']}" for row in homeless)
        return warning("duties", f"for backends not configured here: {told}", "configure it, here or elsewhere")
    if troubled := await database.fetch(SQL.troubled_duties, TROUBLED):
        told = ", ".join(f"{row['duties']} for {row['backend']}" for row in troubled)
        return warning("duties", f"not confirmed in {TROUBLED} tries: {told}", "see the gateways' logs")
    return ok("duties", "none is left behind")


async def check_dead_letters(database: Database) -> Check:
    """More in the last hour than in an hour of the day before."""
    found = await database.fetchrow(SQL.dead_letters)
    assert found is not None
    told = f"{found['open']} open, {found['lately']} of them of the last hour"
    if found["lately"] > found["before"]:
        told += f" ({found['before']:.1f} an hour before)"
        return warning("dead letters", told, "see docs/runbooks/dead-letters.md")
    return ok("dead letters", told)


async def check_workers(database: Database) -> Check:
    """Whether a live worker serves whatever waits on a backend."""
    if found := await unserved(database):
        remedy = "start a worker of that backend, pool and type"
        return warning("workers", "; ".join(unserved_lines(found)), remedy)
    return ok("workers", "nothing waits that no live worker serves")


def _count(members: Sequence[Member], kind: str) -> str:
    number = sum(member.kind == kind for member in members)
    return f"{number} {kind}{'' if number == 1 else 's'}"
