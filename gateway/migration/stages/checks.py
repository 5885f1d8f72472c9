"""What speaks against a change of a stage: a tenant nobody knows, tasks that stage `complete` would leave on Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from backends.errors import EngineError
from backends.port import WorkflowEnginePort
from gateway.errors import DatabaseUnavailable
from gateway.ingress.foreign import resolve
from gateway.migration.flags.errors import StageChangeRefused, TasksStranded
from gateway.migration.stages.forward import may_reach_more
from gateway.routing.flag_document import Json, reached_stages
from gateway.routing.overrides import SQL, Executor
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.routing.stranded import Left, lines, newly_stranded, of_foreign, open_on_redis
from gateway.storage.database import Database

#: What a database answers that no gateway has migrated yet.
BARE = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InvalidSchemaNameError)


async def unknown(db: Executor, scope: Scope) -> list[str]:
    """Tenants and projects of the scope that nobody knows, as whole sentences."""
    found = []
    if scope.tenant_id is not None and await db.fetchrow(SQL.tenant_plan, scope.tenant_id) is None:
        found.append(f"there is no tenant {scope.tenant_id!r}")
    if scope.project_id is not None:
        owner = await db.fetchrow(SQL.project_tenant, scope.project_id)
        if owner is None:
            found.append(f"there is no project {scope.project_id!r}")
        elif scope.tenant_id not in (None, owner["tenant_id"]):
            found.append(f"project {scope.project_id} belongs to tenant {owner['tenant_id']}")
    return found


async def check_known(db: Executor, scope: Scope, *, force: bool) -> list[str]:
    """What is unknown of the scope and was insisted on, as whole sentences; nothing while the database is away.

    Raises `StageChangeRefused`.
    """
    try:
        found = await unknown(db, scope)
    except (DatabaseUnavailable, *BARE):
        return []
    if found and not force:
        raise StageChangeRefused(f"{'; '.join(found)}; --force (force: true) sets it all the same")
    return [f"{what}; it is set all the same" for what in found]


async def unfollowed(db: Executor, owner: str, lease_seconds: float) -> list[str]:
    """Why changing the flag of this owner has no effect now; nothing when some gateway follows it, or nobody knows."""
    try:
        followed = [row["flag_owner"] for row in await db.fetch(SQL.followed, lease_seconds)]
    except (DatabaseUnavailable, *BARE):
        return []
    if owner in followed:
        return []
    if not followed:
        return [f"no gateway is running that follows {owner} (TASKGATE_FLAGS_FILE): the change has no effect yet"]
    others = " and ".join(followed)
    return [f"no running gateway follows {owner}, but {others} (TASKGATE_FLAGS_FILE): the change has no effect yet"]


async def check_flag_stranding(
    db: Database, redis: WorkflowEnginePort | None, before: Json, after: Json, flag_key: str
) -> None:
    """Raises `StageChangeRefused` when tasks on Redis would be at `complete`, or nobody can see whether.

    Redis is asked, too, what producers pushed past the gateway; only where somebody is at `complete` afterwards.
    """
    if Stage.COMPLETE not in reached_stages(after["flags"][flag_key]):
        return
    left, unknown_why = await _left(db, redis)
    if left and (found := await newly_stranded(left, before, after, flag_key)):
        raise _stranding(found)
    if unknown_why is not None and may_reach_more(before, after, flag_key, Stage.COMPLETE):
        raise unseen(unknown_why)


async def check_override_stranding(
    db: Database, redis: WorkflowEnginePort | None, stages: Mapping[Scope, Stage]
) -> None:
    """As `check_flag_stranding`, of overrides that are to be set. Raises `DatabaseUnavailable`, too."""
    scopes = [scope for scope, stage in stages.items() if stage is Stage.COMPLETE]
    if not scopes:
        return
    left, unknown_why = await _left(db, redis)
    if found := [one for one in left if any(scope.covers(one.query) for scope in scopes)]:
        raise _stranding(found)
    if unknown_why is not None:
        raise unseen(unknown_why) if isinstance(unknown_why, EngineError) else unknown_why


async def _left(db: Database, redis: WorkflowEnginePort | None) -> tuple[list[Left], Exception | None]:
    """What is known to be left on Redis, and why that may not be all."""
    left: list[Left] = []
    try:
        left += await open_on_redis(db)
        if redis is not None:
            left += of_foreign(await resolve(db, await redis.take_stock()))
    except (DatabaseUnavailable, EngineError, *BARE) as error:
        return left, error
    return left, None


def unseen(error: Exception) -> StageChangeRefused:
    """Why stage `complete` is refused while the database or Redis does not answer."""
    return StageChangeRefused(
        f"whether tasks are left on redis cannot be seen: {why_unseen(error)}; --force changes it all the same"
    )


def why_unseen(error: Exception) -> str:
    """Why nothing can be said of tasks and overrides."""
    if isinstance(error, EngineError):
        return "redis does not answer (TASKGATE_REDIS_URL)"
    if isinstance(error, DatabaseUnavailable):
        return "the database is not reachable (TASKGATE_DATABASE_URL)"
    return "the database lacks tables of the gateway (taskgate db migrate)"


def _stranding(left: Sequence[Left]) -> TasksStranded:
    return TasksStranded(
        "stage complete says that redis may go, but:\n"
        + "".join(f"  {line}\n" for line in lines(left))
        + "  let them end first (stage live, and a worker on redis; `taskgate migration drain` says what is left and"
        " why), or insist with --force (force: true)"
    )
