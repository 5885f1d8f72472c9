"""Figures of the fleet that take long to read, because very much waits: the last ones are shown, with their age."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from gateway.bootstrap import build_gateway
from gateway.observability import fleet_metrics as module
from gateway.observability.exporter import Metrics
from gateway.observability.fleet_metrics import KEPT_SECONDS, LONGEST_REST, FleetMetrics
from gateway.settings import Settings
from gateway.storage.database import Database
from workers.testing.waiting import eventually

TASKS = "taskgate_tasks_backlog"
AGE = "taskgate_fleet_age_seconds"
UP = "taskgate_database_up"
WAITING = """
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, state, backend)
SELECT 't' || n, 'g', 'probe', 'queued', 'redis' FROM generate_series(1, $1::int) n
"""


@dataclass
class Page:
    fleet: FleetMetrics
    metrics: Metrics
    now: float = 100.0

    async def refreshed(self) -> str:
        await self.fleet.refresh()
        return self.metrics.render().decode()


@pytest.fixture
async def page(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Page]:
    gateway = build_gateway(Settings(database_url=database.url, grpc_enabled=False), engines={})
    metrics = Metrics(Resource.get_empty(), otlp=False)
    page: Any = Page(None, metrics)  # type: ignore[arg-type]
    page.fleet = FleetMetrics(
        metrics.meter, gateway.database, gateway.router, gateway.access, clock=lambda: float(page.now)
    )
    await database.execute(WAITING, 3)
    await page.fleet.refresh()
    monkeypatch.setattr(module, "READ_SECONDS", 0.5)
    yield page
    await page.fleet.close()
    await gateway.close()


async def test_the_last_figures_stay_for_a_while(database: Database, page: Page, total: Callable[..., float]) -> None:
    """Autoscaling needs them most while a million tasks wait, and PostgreSQL is not away."""
    async with database.transaction() as db:
        await db.execute("LOCK TABLE taskgate.dead_letter IN ACCESS EXCLUSIVE MODE")
        page.now += 15
        text = await page.refreshed()
        assert (total(text, UP), total(text, TASKS), total(text, AGE)) == (1, 3, 15)
        page.now += KEPT_SECONDS
        text = await page.refreshed()
        assert (total(text, UP), total(text, AGE)) == (1, 15 + KEPT_SECONDS)
        assert f"{TASKS}{{" not in text, "nobody takes these for present ones"
    await database.execute(WAITING.replace("'t'", "'u'"), 2)

    async def is_new() -> bool:
        page.now += LONGEST_REST  # after a reading that took as long
        text = await page.refreshed()
        return (total(text, UP), total(text, TASKS), total(text, AGE)) == (1, 5, 0)

    await eventually(is_new)


async def test_a_reading_leaves_most_connections_to_others(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took nine of the ten that a gateway has by default, and requests waited."""
    fetch, at_once, most = page.fleet._db.fetch, 0, 0

    async def counted(query: str, *arguments: Any) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return await fetch(query, *arguments)
        finally:
            at_once -= 1

    monkeypatch.setattr(page.fleet._db, "fetch", counted)
    page.now += 15
    await page.fleet._begin_reading()
    assert most == 2


async def test_a_reading_that_takes_longer_than_a_scrape_is_finished(
    database: Database, page: Page, total: Callable[..., float]
) -> None:
    async with database.transaction() as db:
        await db.execute("LOCK TABLE taskgate.dead_letter IN ACCESS EXCLUSIVE MODE")
        await database.execute(WAITING.replace("'t'", "'u'"), 2)
        page.now += 15
        assert total(await page.refreshed(), TASKS) == 3
    reading = page.fleet._reading
    assert reading is not None
    await reading
    page.now += 15
    async with database.transaction() as db:
        await db.execute("LOCK TABLE taskgate.dead_letter IN ACCESS EXCLUSIVE MODE")
        text = await page.refreshed()
    assert (total(text, TASKS), total(text, AGE)) == (5, 15)


async def test_after_a_reading_that_is_cut_off_the_next_one_waits(
    database: Database, page: Page, total: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statements that count very much, for each scrape of each gateway, would be most of what PostgreSQL does."""
    monkeypatch.setattr(module, "READ_SECONDS", 60.0)
    plain, brief = page.fleet._db, Database(database.url, statement_timeout=1.0)
    page.fleet._db = brief
    async with database.transaction() as db:
        await db.execute("LOCK TABLE taskgate.dead_letter IN ACCESS EXCLUSIVE MODE")
        page.now += 15
        assert total(await page.refreshed(), AGE) == 15
        assert page.fleet._reading is not None
        assert page.fleet._reading.done()
    await brief.close()
    page.fleet._db = plain
    page.now += LONGEST_REST - 1
    assert total(await page.refreshed(), AGE) == 15 + LONGEST_REST - 1
    page.now += 1
    assert total(await page.refreshed(), AGE) == 0
