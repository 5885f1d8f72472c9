"""Where each tenant's new tasks go, as routing on this gateway has it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final, Protocol

from gateway.access.placement import Tier
from gateway.migration.guardrails.moves import Place
from gateway.migration.guardrails.store import SQL
from gateway.routing.flag_document import Json, reached_stages
from gateway.routing.flag_edit import settings_of
from gateway.routing.flag_text import default_unit
from gateway.routing.overrides import PLAN_AUTHOR, Override
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.router import Route, Router
from gateway.routing.stages import Stage
from gateway.storage.database import Database

#: Who sets the overrides of guardrails.
AUTHOR: Final = "taskgate guardrail"
#: How often the list of tenants is read (seconds).
TENANTS_SECONDS: Final = 10.0
#: Tenants that are asked about before others get their turn.
_PAGE: Final = 50


class Told(Protocol):
    """What changes now and then, and says so; on whatever thread."""

    def add_listener(self, listener: Callable[[], None]) -> None: ...


class Documents(Told, Protocol):
    """The flag."""

    def document(self) -> Json | None: ...


class Rows(Told, Protocol):
    """The overrides."""

    def rows(self) -> list[Override]: ...


class Places:
    """Asks the router about every tenant when flag, overrides or tenants have changed, and only then."""

    def __init__(self, router: Router, flags: Documents, overrides: Rows) -> None:
        self._router = router
        self._flags = flags
        self._overrides = overrides
        self._tiers: dict[str, tuple[Tier, str | None]] = {}
        self._places: dict[str, Place] = {}
        self._is_stale = True
        self._listed: float | None = None
        flags.add_listener(self._changed)
        overrides.add_listener(self._changed)

    def of(self, tenant_id: str) -> Place:
        """As it was looked up last; of a tenant nobody knows, Redis."""
        return self._places.get(tenant_id, Place(Stage.OFF))

    def tier_of(self, tenant_id: str) -> Tier:
        return self._tiers.get(tenant_id, (Tier.STANDARD, None))[0]

    def forget(self) -> None:
        """Take every place for new when looking next."""
        self._places.clear()
        self._is_stale, self._listed = True, None

    async def look(self, db: Database) -> Mapping[str, Place]:
        """Those that changed, with the entries behind them; none before routing is known here.

        Raises `DatabaseUnavailable`.
        """
        await self._list_tenants(db)
        if not self._is_stale or not self._router.is_ready:
            return {}
        self._is_stale = False
        try:
            return await self._look(db)
        except BaseException:
            self._is_stale = True
            raise

    async def _look(self, db: Database) -> Mapping[str, Place]:
        scopes, by_task = await self._scopes(db), self._stage_by_task()
        changed: dict[str, Place] = {}
        for number, (tenant_id, (_, plan)) in enumerate(self._tiers.items()):
            if number % _PAGE == 0:
                await asyncio.sleep(0)
            place = self._place(tenant_id, plan, [*scopes.get(None, ()), *scopes.get(tenant_id, ())], by_task)
            if not _is_same(place, self._places.get(tenant_id)):
                changed[tenant_id] = place
        ids = sorted({place.entry_id for place in changed.values() if place.entry_id is not None})
        times = {row["id"]: row["at"] for row in await db.fetch(SQL.entry_times, ids)} if ids else {}
        changed = {tenant: replace(place, at=times.get(place.entry_id)) for tenant, place in changed.items()}
        self._places.update(changed)
        return changed

    async def _list_tenants(self, db: Database) -> None:
        if self._listed is not None and time.monotonic() - self._listed < TENANTS_SECONDS:
            return
        listed = {row["id"]: (Tier.of_plan(row["plan"]), row["plan"]) for row in await db.fetch(SQL.tenants)}
        self._listed = time.monotonic()
        if listed != self._tiers:
            self._tiers, self._is_stale = listed, True

    async def _scopes(self, db: Database) -> dict[str | None, list[Scope]]:
        """Projects and types that have a setting of their own, by tenant (None: of whatever tenant)."""
        document = self._flags.document()
        overridden = [row.scope for row in self._overrides.rows()]
        named = [*(() if document is None else settings_of(document)), *overridden]
        narrow = [scope for scope in named if scope.project_id is not None or scope.task_type is not None]
        projects = sorted({scope.project_id for scope in narrow if scope.project_id is not None})
        owners = {row["id"]: row["tenant_id"] for row in await db.fetch(SQL.owners, projects)} if projects else {}
        found: dict[str | None, list[Scope]] = {}
        for scope in narrow:
            owner = scope.tenant_id or (owners.get(scope.project_id) if scope.project_id is not None else None)
            if owner is not None or scope.project_id is None:
                found.setdefault(owner, []).append(scope)
        return found

    def _stage_by_task(self) -> Stage | None:
        """Where a part of everybody's tasks goes, when the default is a percentage of tasks."""
        document = self._flags.document()
        if default_unit(document) != "task" or document is None:
            return None
        stages = [stage for stage, whom in reached_stages(document).items() if "default" in whom]
        return _furthest(stages)

    def _place(self, tenant_id: str, plan: str | None, scopes: list[Scope], by_task: Stage | None) -> Place:
        routes = [self._router.route(query) for query in _queries(tenant_id, plan, scopes)]
        route = max(routes, key=lambda one: list(Stage).index(one.stage))
        stage = route.stage
        if by_task is not None and any(one.flag is not None and one.flag.is_default for one in routes):
            stage = _furthest([stage, by_task]) or stage
        author, is_ours = _author(route)
        return Place(stage, route.entry_id, None, author, is_ours)

    def _changed(self) -> None:
        self._is_stale = True


def _queries(tenant_id: str, plan: str | None, scopes: list[Scope]) -> Iterator[RouteQuery]:
    yield RouteQuery(tenant_id, "", plan=plan)
    for scope in scopes:
        yield RouteQuery(tenant_id, scope.task_type or "", "", scope.project_id, plan=plan)


def _author(route: Route) -> tuple[str | None, bool]:
    """The person whose override decided, and whether it is a guardrail's instead."""
    if route.override is None or route.override.set_by == PLAN_AUTHOR:
        return None, False
    if route.override.set_by == AUTHOR:
        return None, True
    return route.reason, False


def _furthest(stages: list[Stage]) -> Stage | None:
    return max((stage for stage in stages), key=list(Stage).index, default=None)


def _is_same(place: Place, before: Place | None) -> bool:
    return before is not None and replace(before, at=None) == place
