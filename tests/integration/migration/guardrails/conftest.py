"""Guardrails of a leader over PostgreSQL: routing of its own, outcomes written as the recorder writes them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest_asyncio

from backends.errors import EngineUnavailable
from gateway.migration.guardrails.counting import Counting
from gateway.migration.guardrails.evaluator import Evaluator
from gateway.migration.guardrails.guard import Guard
from gateway.migration.guardrails.places import Places
from gateway.migration.guardrails.store import SQL, guard_of
from gateway.migration.guardrails.webhook import Webhook
from gateway.migration.parity.evidence import Evidence
from gateway.migration.parity.histogram import bucket_of
from gateway.recovery.fenced_database import FencedDatabase
from gateway.routing.flag_edit import new_flag, with_stage
from gateway.routing.flag_file import FlagFile
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.stages import Stage
from gateway.storage.database import Database

KEY = "task-backend"
URL = "http://hooks.example.com/guardrails"


class Redis:
    """Says whether it is there."""

    def __init__(self) -> None:
        self.is_away = False

    async def check_health(self) -> None:
        if self.is_away:
            raise EngineUnavailable("redis does not answer")


@dataclass
class Rails:
    """One gateway that leads, its routing, and what happens to tenants."""

    database: Database
    routing: Any
    path: Path
    redis: Redis = field(default_factory=Redis)
    clock: list[float] = field(default_factory=lambda: [0.0])

    def leader(self, term: int) -> Evaluator:
        """A gateway that believes to lead this term."""
        fenced = FencedDatabase(self.database)
        fenced.term = term
        return Evaluator(
            fenced,
            Counting(Evidence(self.database), monotonic=lambda: self.clock[0]),
            Places(self.routing.router, self.routing.flags, self.routing.overrides),
            self.redis,  # type: ignore[arg-type]
            webhook=Webhook(URL),
            wake=lambda: None,
        )

    async def begin_term(self) -> Evaluator:
        """The next leader."""
        term = await self.database.fetchval(
            "INSERT INTO taskgate.leadership AS l (term, holder) VALUES (1, 'test')"
            " ON CONFLICT (is_only) DO UPDATE SET term = l.term + 1 RETURNING term"
        )
        return self.leader(term)

    async def put(self, stage: Stage, tenant: str = "acme", **scope: str) -> None:
        """The flag, in force."""
        at = Scope(tenant, **scope)
        await self._edit(lambda flag: with_stage(flag, at, stage))
        await self.routing.until_stage(stage, RouteQuery(tenant, scope.get("task_type", "backup"), plan=None))

    async def put_all(self, stage: Stage, tenants: Sequence[str]) -> None:
        """The flag of many tenants at once."""

        def change(flag: Any) -> Any:
            for tenant in tenants:
                flag = with_stage(flag, Scope(tenant), stage)
            return flag

        await self._edit(change)
        await self.routing.until_stage(stage, RouteQuery(tenants[-1], "backup", plan=None))

    async def put_everybody(self, stage: Stage) -> None:
        """The default of the flag."""
        await self._edit(lambda flag: with_stage(flag, Scope(), stage))
        await self.routing.until_stage(stage, RouteQuery("acme", "backup", plan=None))

    async def _edit(self, change: Callable[[Any], Any]) -> None:
        FlagFile(self.path, KEY).edit(change, who="ada", why="move", what="tenants", describe=lambda flag: "")

    async def ran_on_redis(
        self, count: int, failed: int, *, tenant: str = "acme", task_type: str = "backup", minutes_ago: float = 60
    ) -> None:
        """So many tasks of a minute, and of them so many failed at first."""
        run = [0] * bucket_of(1.0) + [count]
        for is_everybody in (False, True):
            await self.database.execute(
                "INSERT INTO taskgate.outcome_slice (is_everybody, tenant_id, task_type, backend, slice_at, ended,"
                " lost, first, failed, over, retried, dead, attempts, run, wait, total, late)"
                " VALUES ($1, $2, $3, 'redis', date_bin('1 minute', now() - make_interval(secs => $4), 'epoch'), $5,"
                " 0, $5, $6, $5, $6, 0, $5, $7, '{}', '{}', '{}')"
                " ON CONFLICT DO NOTHING",
                is_everybody,
                "" if is_everybody else tenant,
                task_type,
                minutes_ago * 60,
                count,
                failed,
                run,
            )

    async def ended(
        self,
        failed: int,
        well: int = 0,
        *,
        tenant: str = "acme",
        task_type: str = "backup",
        backend: str = "temporal",
        **more: Any,
    ) -> None:
        """Tasks that ended just now: first those whose first run failed."""
        await self.database.execute(
            "INSERT INTO taskgate.outcome (position, at, task_id, attempt, tenant_id, task_type, backend, failed,"
            " retried, dead, worker_lost, run_seconds)"
            " SELECT nextval('taskgate.outcome_position'), now(), 't' || n, 1, $1, $2, $3, n <= $4, false, $6, $7, 1.0"
            " FROM generate_series(1, $5::int) AS n",
            tenant,
            task_type,
            backend,
            failed,
            failed + well,
            more.get("dead", False),
            more.get("worker_lost", False),
        )

    async def guard(self, tenant: str = "acme") -> Guard:
        row = await self.database.fetchrow(SQL.guard_for_change, tenant)
        assert row is not None
        return guard_of(row)

    async def events(self, tenant: str | None = "acme") -> list[str]:
        """What happened to a tenant (None: to everybody), in order."""
        rows = await self.database.fetch(
            "SELECT kind FROM taskgate.guardrail_event WHERE tenant_id IS NOT DISTINCT FROM $1 ORDER BY id", tenant
        )
        return [row["kind"] for row in rows]

    async def overrides(self) -> list[tuple[str, str, str]]:
        rows = await self.database.fetch("SELECT tenant_id, stage, set_by FROM taskgate.route_override ORDER BY id")
        return [(row["tenant_id"], row["stage"], row["set_by"]) for row in rows]

    async def set(self, scope: str, **settings: Any) -> None:
        await self.database.execute(SQL.put_setting, scope, json.dumps(settings), "ada", "test")


NewRouting = Callable[..., Awaitable[Any]]


@pytest_asyncio.fixture
async def rails(database: Database, new_routing: NewRouting, tmp_path: Path) -> Rails:
    """With tenants acme, globex and initech at stage off, and one gateway's routing."""
    await database.execute("INSERT INTO users (id, email, name) VALUES ('u', 'u', 'u')")
    await database.execute(
        "INSERT INTO tenants (id, name, owner_id) SELECT t, t, 'u' FROM unnest('{acme,globex,initech}'::text[]) AS t"
    )
    path = tmp_path / "flags.json"
    path.write_text(json.dumps({"flags": {KEY: new_flag(KEY)}}))
    return Rails(database, await new_routing(path), path)
