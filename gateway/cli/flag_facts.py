"""What the database knows beside the flag: tenants, overrides, and the tasks that a change would strand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import asyncpg

from gateway.errors import DatabaseUnavailable
from gateway.routing.errors import FlagChangeRefused
from gateway.routing.flag_document import Json, reached_stages
from gateway.routing.overrides import SQL, Override, load_overrides
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.routing.stranded import Left, left_on_redis, lines, newly_stranded
from gateway.settings import Settings
from gateway.storage.database import Database

#: Seconds to wait for a database that does not answer.
DATABASE_SECONDS = 3.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FlagFacts:
    """`problem` is why the database could not be asked; there is nothing else then."""

    left: list[Left] = field(default_factory=list)
    overrides: list[Override] = field(default_factory=list)
    override_changes: list[asyncpg.Record] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Tenants and projects of the scope that nobody knows, as whole sentences."""
    followed: list[str] = field(default_factory=list)
    """The owners of the flags that running gateways follow."""
    problem: str | None = None


def look(settings: Settings, scope: Scope | None = None, *, changes: int = 1) -> FlagFacts:
    """Ask the database, with the newest changes of overrides; one that is away or bare is a `problem`."""

    async def ask(database: Database) -> FlagFacts:
        return FlagFacts(
            await left_on_redis(database),
            await load_overrides(database),
            await database.fetch(SQL.override_changes, changes),
            await _unknown(database, scope or Scope()),
            [row["flag_owner"] for row in await database.fetch(SQL.followed, settings.lease_seconds)],
        )

    try:
        return asyncio.run(with_database(settings, ask))
    except DatabaseUnavailable:
        return FlagFacts(problem="the database is not reachable (TASKGATE_DATABASE_URL)")
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InvalidSchemaNameError):
        return FlagFacts(problem="the database lacks tables of the gateway (taskgate db migrate)")


def refuse_stranding(before: Json, after: Json, flag_key: str, facts: FlagFacts) -> None:
    """Raises `FlagChangeRefused` with what would be left on Redis."""
    if facts.problem is not None:
        if _at_complete(after) - _at_complete(before):
            raise FlagChangeRefused(
                f"whether tasks are left on redis cannot be seen: {facts.problem}; --force changes it all the same"
            )
        return
    if facts.left and (left := asyncio.run(newly_stranded(facts.left, before, after, flag_key))):
        raise stranding(left)


def unfollowed(owner: str, facts: FlagFacts) -> str | None:
    """Why changing the flag that `owner` holds has no effect now; None when one does, or nobody knows."""
    if facts.problem is not None or owner in facts.followed:
        return None
    if not facts.followed:
        return f"no gateway is running that follows {owner} (TASKGATE_FLAGS_FILE)"
    return f"no running gateway follows {owner}, but {' and '.join(facts.followed)} (TASKGATE_FLAGS_FILE)"


def stranding(left: list[Left]) -> FlagChangeRefused:
    """Why stage `complete` is refused while these are left."""
    return FlagChangeRefused(
        "stage complete says that redis may go, but:\n"
        + "".join(f"  {line}\n" for line in lines(left))
        + "  let them end first (stage live, and a worker on redis; `taskgate task list --filter backend=redis` lists"
        " them), or insist with --force"
    )


async def _unknown(database: Database, scope: Scope) -> list[str]:
    found = []
    if scope.tenant_id is not None and await database.fetchrow(SQL.tenant_plan, scope.tenant_id) is None:
        found.append(f"there is no tenant {scope.tenant_id!r}")
    if scope.project_id is not None:
        owner = await database.fetchrow(SQL.project_tenant, scope.project_id)
        if owner is None:
            found.append(f"there is no project {scope.project_id!r}")
        elif scope.tenant_id not in (None, owner["tenant_id"]):
            found.append(f"project {scope.project_id} belongs to tenant {owner['tenant_id']}")
    return found


def _at_complete(flag: Json) -> set[str]:
    return set(reached_stages(flag).get(Stage.COMPLETE, ()))


async def with_database(settings: Settings, work: Callable[[Database], Awaitable[T]]) -> T:
    """The result of `work`, whose database is closed after it."""
    database = Database(settings.database_url, size=2, acquire_timeout=DATABASE_SECONDS, name="taskgate-cli")
    try:
        return await work(database)
    finally:
        with suppress(Exception):
            await database.close()
