"""`/metrics` of a gateway, also while PostgreSQL is away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.pytest_stack import StackFactory
from deploy.local.stack import EmbeddedStack
from gateway.access.keys import create_key
from gateway.app import create_app
from gateway.bootstrap import build_gateway
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.schema.migrate import create_legacy_tables, migrate
from tests.integration.conftest import key_of

_LOADS = (
    *("backlog", "oldest_seconds", "running", "demand", "past_gateway"),
    *("arrivals_per_second", "completions_per_second"),
)
#: What scrapers know from before OpenTelemetry came.
NAMES = {f"taskgate_{of}_{what}" for of in ("tasks", "pool") for what in _LOADS} | {
    "taskgate_pool_workers",
    "taskgate_pool_slots",
}


@dataclass
class Scraped:
    """A gateway, its server of PostgreSQL, and an administrator's headers."""

    stack: EmbeddedStack
    client: httpx.AsyncClient
    admin: dict[str, str]

    async def page(self) -> str:
        answer = await self.client.get("/metrics", headers=self.admin)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return answer.text


@pytest.fixture
async def scraped(stack_factory: StackFactory) -> AsyncIterator[Scraped]:
    stack = await stack_factory({"postgres"})
    await create_legacy_tables(stack.database_url)
    await migrate(stack.database_url)
    database = Database(stack.database_url)
    gateway = build_gateway(Settings(database_url=stack.database_url), engines={})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(gateway)), base_url="http://g") as client:
        yield Scraped(stack, client, {"Authorization": f"Bearer {await key_of(database, 'root', admin=True)}"})
    await database.close()
    await gateway.close()


async def test_a_scrape_answers_while_postgresql_is_away(scraped: Scraped, total: Callable[..., float]) -> None:
    page = await scraped.page()
    found = {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}
    assert found >= NAMES
    assert (total(page, "taskgate_database_up"), total(page, "taskgate_database_connections", state="free")) != (0, 0)
    await scraped.stack.part("postgres").kill()
    away = await scraped.page()
    assert "taskgate_database_up 0.0\n" in away
    # Old values would look like present ones.
    assert "taskgate_tasks_backlog{" not in away
    assert "taskgate_stream_clients{" in away
    # Only for those who were let in before.
    other = {"Authorization": f"Bearer {create_key()}"}
    assert (await scraped.client.get("/metrics", headers=other)).status_code == 503
    await scraped.stack.start(["postgres"])
    assert "taskgate_database_up 1.0\n" in await scraped.page()
    assert (await scraped.client.get("/metrics", headers=other)).status_code == 401


async def test_a_key_that_is_revoked_is_not_remembered(scraped: Scraped) -> None:
    await scraped.page()
    database = Database(scraped.stack.database_url)
    await database.execute("UPDATE api_keys SET is_active = false")
    await database.close()
    assert (await scraped.client.get("/metrics", headers=scraped.admin)).status_code == 401
    await scraped.stack.part("postgres").kill()
    assert (await scraped.client.get("/metrics", headers=scraped.admin)).status_code == 503


async def test_each_answer_has_the_id_of_its_request(scraped: Scraped) -> None:
    given = await scraped.client.get("/health", headers={"X-Request-Id": "from-the-client"})
    assert given.headers["x-request-id"] == "from-the-client"
    for strange in ("", "a b", "x" * 129, 'a"b'):
        made = (await scraped.client.get("/health", headers={"X-Request-Id": strange})).headers["x-request-id"]
        assert len(made) == 32
