"""A runner whose transitions and handler the tests disturb; a gateway over an engine that takes starts at a rate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.slow_engines import SerialEngine
from gateway.bootstrap import Gateway, build_gateway
from gateway.errors import DatabaseUnavailable
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.tasks.lifecycle.claim import Claim
from gateway.tasks.lifecycle.foreign import ForeignTasks
from gateway.tasks.lifecycle.transitions import Transitions
from workers.handlers.base import TaskHandler, TaskRegistry
from workers.progress import ProgressReporter
from workers.runner import Runner


class Disturbed(Transitions):
    """`claimed` is called when a claim is granted, before its answer comes; `answers_lost` answers do not come. `away`
    reports of progress fail, and `away_at_end` of the end, which sets `failed`. `handed_back` is called before a
    run is.
    """

    claimed: Callable[[str], Awaitable[None]] | None = None
    answers_lost = 0
    handed_back: Callable[[], None] = staticmethod(lambda: None)
    away = 0
    away_at_end = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.failed = asyncio.Event()

    async def claim(self, task_id: str, *args: Any, **more: Any) -> Claim | None:
        claim = await super().claim(task_id, *args, **more)
        if self.claimed is not None:
            await self.claimed(task_id)
        if self.answers_lost:
            self.answers_lost -= 1
            raise DatabaseUnavailable
        return claim

    async def progress(self, *args: Any, **more: Any) -> bool:
        if self.away:
            self.away -= 1
            raise DatabaseUnavailable
        return await super().progress(*args, **more)

    async def hand_back(self, *args: Any, **more: Any) -> bool:
        self.handed_back()
        return await super().hand_back(*args, **more)

    async def complete(self, *args: Any, **more: Any) -> bool:
        if self.away_at_end:
            self.away_at_end -= 1
            self.failed.set()
            raise DatabaseUnavailable
        return await super().complete(*args, **more)


class Reporting(TaskHandler):
    """Reports through whatever context it is given: here the reporter itself."""

    def __init__(self) -> None:
        self.ran = 0
        self.waits: asyncio.Event | None = None
        """Waits for it, if there is one, before it reports; cancelled, it calls `leaves` and goes."""
        self.began = asyncio.Event()
        self.leaves: Callable[[], Awaitable[None]] | None = None
        self.raises: Exception | None = None
        self.returns: dict[str, Any] | None = None
        """What it returns; it reports nothing then."""
        self.payload: dict[str, Any] = {}

    @property
    def task_type(self) -> str:
        return "probe"

    async def process(self, payload: dict[str, Any], context: Any) -> Any:
        self.ran += 1
        self.payload = payload
        self.began.set()
        if self.raises is not None:
            raise self.raises
        try:
            if self.waits is not None:
                await self.waits.wait()
        except asyncio.CancelledError:
            if self.leaves is not None:
                await self.leaves()
            raise
        if self.returns is None:
            await context.update(payload["task_id"], progress=40, result={"n": 1}, increment_retry=True)
        return self.returns


@pytest.fixture
def disturbed(database: Database, changes: Any) -> Disturbed:
    return Disturbed(database, changes)


@pytest.fixture
def handler() -> Reporting:
    return Reporting()


@pytest.fixture
async def lease(new_worker: Any) -> SimpleNamespace:
    """`process_id`: the present name of the runner's process."""
    return SimpleNamespace(process_id=await new_worker())


@pytest.fixture
async def runner(database: Database, disturbed: Disturbed, handler: Reporting, lease: SimpleNamespace) -> Runner:
    registry = TaskRegistry()
    registry.register(handler)

    def context(claim: Claim, reporter: ProgressReporter) -> Any:
        return reporter

    return Runner(disturbed, ForeignTasks(database), registry, context, lambda: lease.process_id, engine_retries=False)


@pytest.fixture
async def engine(rate: float) -> SerialEngine:
    """In the place of Redis; the module says how many starts a second it takes."""
    return SerialEngine(rate, name="redis")


@pytest.fixture
async def gateway(database: Database, engine: SerialEngine) -> AsyncIterator[Gateway]:
    """Over `engine` alone."""
    gateway = build_gateway(Settings(database_url=database.url, grpc_enabled=False), engines={"redis": engine})
    await gateway.start()
    yield gateway
    await gateway.close()
