"""A gateway whose clock is set by hand, over a real database with the demo tenants; its engines are in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backends.memory.engine import MemoryEngine
from gateway.access.on_behalf import OnBehalf
from gateway.access.placement import Caller
from gateway.bootstrap import Gateway, build_gateway
from gateway.routing.stages import Stage
from gateway.routing.testing import StaticFlags
from gateway.schedules.definition import ScheduleDefinition
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.schema.seed import seed

#: Where virtual time begins.
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualTime:
    """The moment that a gateway takes for now."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now


class World:
    """One gateway, not started: a test does the clock's work with `pass_time`. The caller is acme's user."""

    def __init__(self, gateway: Gateway, time: VirtualTime, caller: Caller) -> None:
        self.gateway = gateway
        self.time = time
        self.caller = caller
        self.database = gateway.database
        self.schedules = gateway.schedules

    async def create(self, *specs: dict[str, Any], **fields: Any) -> str:
        """A schedule of acme's, every hour if nothing else is said."""
        document = {"name": "n", "specs": specs or [{"every_seconds": 3600}], "action": {"type": "probe"}, **fields}
        definition = ScheduleDefinition.model_validate(document)
        access = OnBehalf(self.gateway.access, self.caller.user_id)
        placement = (await access.admit(None, project_id=definition.action.project_id)).placement
        schedule = await self.schedules.plan(definition, placement, self.caller.user_id)
        async with self.database.transaction() as db:
            await self.schedules.insert(db, schedule)
        return schedule.schedule_id

    async def change(self, schedule_id: str, **update: Any) -> None:
        await self.schedules.change(schedule_id, self.caller, lambda before: before.model_copy(update=update))

    async def pass_time(self, **step: float) -> None:
        """Let virtual time pass, and the clock do what is due by then."""
        self.time.now += timedelta(**step)
        await self.gateway.clock.tick()

    async def history(self, schedule_id: str) -> list[tuple[str, str]]:
        """Nominal time and outcome, the oldest first."""
        rows = await self.schedules.history(schedule_id, self.caller, before=None, limit=1000)
        return [(row["nominal_at"].strftime("%H:%M"), row["outcome"]) for row in reversed(rows)]

    async def reasons(self, schedule_id: str) -> list[str | None]:
        rows = await self.schedules.history(schedule_id, self.caller, before=None, limit=1000)
        return [row["reason"] for row in reversed(rows)]

    async def tasks(self) -> list[Any]:
        """Every task, the oldest first."""
        return await self.database.fetch("SELECT * FROM taskgate.dispatch ORDER BY created_at")

    async def end_tasks(self, state: str = "completed") -> None:
        await self.database.execute("UPDATE taskgate.dispatch SET state = $1, finished_at = now()", state)


MakeWorld = Callable[..., Any]


@pytest.fixture
def make_world(database_url: str) -> MakeWorld:
    """Opens a world; several over the same database share its schedules, and, if given, the time."""

    @asynccontextmanager
    async def open_world(
        time: VirtualTime | None = None, flags: StaticFlags | None = None, **settings: Any
    ) -> AsyncIterator[World]:
        await seed(database_url)
        engines = {name: MemoryEngine(name=name) for name in ("redis", "temporal")}
        gateway = build_gateway(Settings(database_url=database_url, **settings), engines=engines)
        gateway.router._entries = None  # nobody observes the flag here
        if flags is not None:
            gateway.router._flags = flags
        time = gateway.clock.now = time or VirtualTime()  # type: ignore[assignment]
        caller = (await gateway.access.admit_user("user-acme")).caller
        try:
            yield World(gateway, time, caller)
        finally:
            await gateway.close()

    return open_world


@pytest.fixture
async def world(make_world: MakeWorld) -> AsyncIterator[World]:
    async with make_world() as world:
        yield world


@pytest.fixture
def flags() -> StaticFlags:
    return StaticFlags(Stage.OFF)


Settled = Callable[[Database], Awaitable[None]]
