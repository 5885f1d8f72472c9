from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest_asyncio

from gateway.migration.guardrails.store import SQL as GUARD_SQL
from gateway.routing.overrides import Overrides, clear_override, load_overrides, set_override
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.router import Router
from gateway.routing.stages import REDIS, TEMPORAL, Stage
from gateway.routing.testing import StaticFlags
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from workers.testing.waiting import News, until

ACME = RouteQuery("acme", "add_episode", "1", "p1", plan=None)
#: A slow poll, so that what a test sees came by notification.
SLOW = 3600.0


class Watched:
    """An override table, and the news of its listener."""

    def __init__(self, database: Database, *, poll: float = SLOW, clock: Callable[[], float] = time.monotonic) -> None:
        self._listener = Listener(database)
        self.table = Overrides(database, self._listener, poll=poll, clock=clock)
        news = News()
        self.table.add_listener(news.tell)
        self.until = news.until

    async def close(self) -> None:
        await self.table.close()
        await self._listener.close()

    def stage(self, query: RouteQuery = ACME) -> Stage | None:
        found = self.table.find(query)
        return None if found is None else found.stage


@pytest_asyncio.fixture
async def watched(database: Database) -> AsyncIterator[Watched]:
    it = Watched(database)
    await it.table.start()
    yield it
    await it.close()


async def test_set_and_clear_are_announced(database: Database, watched: Watched) -> None:
    assert watched.table.find(ACME) is None
    row = await set_override(database, Scope("acme"), Stage.OFF, by="ada", why="errors")
    assert (row.scope, row.stage, row.set_by, row.why, row.expires_at) == (
        Scope("acme"),
        Stage.OFF,
        "ada",
        "errors",
        None,
    )
    await watched.until(lambda: watched.stage() is Stage.OFF)
    await set_override(database, Scope("acme"), Stage.LIVE, by="bob", why="better")
    await watched.until(lambda: watched.stage() is Stage.LIVE)
    assert len(watched.table.rows()) == 1
    assert await clear_override(database, Scope("acme"), by="ada", why="over")
    await watched.until(lambda: watched.stage() is None)
    assert not await clear_override(database, Scope("acme"), by="ada", why="twice")


async def test_every_gateway_hears_of_it(database: Database, watched: Watched) -> None:
    other = Watched(database)
    await other.table.start()
    await set_override(database, Scope(), Stage.OFF, by="ada", why="kill switch")
    await watched.until(lambda: watched.stage() is Stage.OFF)
    await other.until(lambda: other.stage(RouteQuery(None, "x", plan=None)) is Stage.OFF)
    await other.close()


async def test_the_most_specific_row_wins(database: Database, watched: Watched) -> None:
    rows = [
        (Scope(), Stage.OFF),
        (Scope(None, None, "add_episode"), Stage.DUALWRITE),
        (Scope("acme"), Stage.SHADOW),
        (Scope(None, "p1"), Stage.LIVE),
        (Scope("acme", None, "add_episode"), Stage.RAMPDOWN),
        (Scope("acme", "p1", "add_episode"), Stage.COMPLETE),
    ]
    for scope, stage in rows:
        await set_override(database, scope, stage, by="ada", why="x")
    await watched.until(lambda: len(watched.table.rows()) == len(rows))
    for scope, stage in reversed(rows):
        assert watched.stage() is stage
        await clear_override(database, scope, by="ada", why="x")
        await watched.until(lambda scope=scope: scope not in [row.scope for row in watched.table.rows()])


async def test_an_override_ends_by_itself(database: Database) -> None:
    now = [time.monotonic()]
    watched = Watched(database, clock=lambda: now[0])
    await watched.table.start()
    await set_override(database, Scope("acme"), Stage.OFF, by="ada", why="x", lasts=timedelta(minutes=5))
    await watched.until(lambda: watched.stage() is Stage.OFF)
    now[0] += 299
    assert watched.stage() is Stage.OFF
    now[0] += 2
    assert watched.stage() is None
    assert watched.table.rows() == []
    await watched.close()


async def test_expired_rows_are_not_loaded(database: Database) -> None:
    await set_override(database, Scope("acme"), Stage.OFF, by="ada", why="x", lasts=timedelta(seconds=-1))
    assert await load_overrides(database) == []


async def test_a_stage_that_nobody_knows_is_passed_over(database: Database) -> None:
    await database.execute(
        "INSERT INTO taskgate.route_override (tenant_id, stage, why, set_by) VALUES ('a', 'lvie', '', '')"
    )
    await set_override(database, Scope("acme"), Stage.OFF, by="ada", why="x")
    assert [row.scope for row in await load_overrides(database)] == [Scope("acme")]


async def test_the_audit_says_who_and_why(database: Database) -> None:
    await set_override(database, Scope("acme"), Stage.OFF, by="ada", why="errors")
    await set_override(database, Scope("acme"), Stage.LIVE, by="bob", why="better")
    await clear_override(database, Scope("acme"), by="eve", why="over")
    rows = await database.fetch("SELECT * FROM taskgate.audit ORDER BY id")
    assert [(row["actor"], row["action"], row["subject"], row["why"]) for row in rows] == [
        ("ada", "route_override.set", "tenant acme", "errors"),
        ("bob", "route_override.set", "tenant acme", "better"),
        ("eve", "route_override.clear", "tenant acme", "over"),
    ]
    details = [json.loads(row["detail"]) for row in rows]
    assert details[0]["before"] is None
    assert details[1]["before"]["stage"] == "off"
    assert details[1]["stage"] == "live"
    assert details[2]["before"]["set_by"] == "bob"


async def test_what_was_not_announced_is_found_by_the_poll(database: Database) -> None:
    watched = Watched(database, poll=0.05)
    await watched.table.start()
    await database.execute(
        "INSERT INTO taskgate.route_override (tenant_id, stage, why, set_by) VALUES ('acme', 'live', 'x', 'x')"
    )
    await watched.until(lambda: watched.stage() is Stage.LIVE)
    await watched.close()


async def test_a_lost_connection_keeps_the_rows_and_comes_back(database: Database) -> None:
    watched = Watched(database, poll=0.05)
    await set_override(database, Scope("acme"), Stage.OFF, by="ada", why="x")
    await watched.table.start()
    assert watched.stage() is Stage.OFF
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'LISTEN%' AND pid <> pg_backend_pid()"
    )
    assert watched.stage() is Stage.OFF
    await set_override(database, Scope("acme"), Stage.LIVE, by="ada", why="x")
    await watched.until(lambda: watched.stage() is Stage.LIVE)
    await watched.until(lambda: watched.table.problem() is None)
    await watched.close()


async def test_a_database_that_is_away_does_not_hold_up_the_start() -> None:
    watched = Watched(Database("postgresql://nobody@127.0.0.1:1/none"))
    await watched.table.start()
    assert watched.table.find(ACME) is None
    assert "the override table cannot be followed" in (watched.table.problem() or "")
    await watched.close()


async def test_the_router_follows_the_table(database: Database, watched: Watched) -> None:
    router = Router(StaticFlags(Stage.COMPLETE), watched.table, frozenset({REDIS, TEMPORAL}))
    assert router.route(ACME).backend == TEMPORAL
    await set_override(database, Scope("acme"), Stage.OFF, by="guardrail", why="errors", lasts=timedelta(hours=1))
    await watched.until(lambda: router.route(ACME).backend == REDIS)
    reason = router.route(ACME).reason
    assert reason.startswith("override for tenant acme by guardrail until 20")
    assert reason.endswith("UTC: errors")


async def test_nothing_ends_by_itself_while_all_is_frozen(database: Database, watched: Watched) -> None:
    """Whom it keeps would move; what a person set an end to ends when a person has looked."""
    gone = await set_override(database, Scope("globex"), Stage.OFF, by="ada", why="w", lasts=timedelta(hours=1))
    await set_override(database, Scope("acme"), Stage.OFF, by="ada", why="w", lasts=timedelta(hours=1))
    await watched.until(lambda: len(watched.table.rows()) == 2)
    over = "UPDATE taskgate.route_override SET expires_at = now() - make_interval(mins => $2) WHERE tenant_id = $1"
    await database.execute(over, gone.scope.tenant_id, 40)
    await database.execute(GUARD_SQL.freeze, "9 of 20")
    await database.execute("UPDATE taskgate.guardrail_freeze SET since = now() - interval '30 min'")
    await database.execute(over, "acme", 20)
    await watched.table.refresh()
    assert [(row.scope, row.ends) for row in watched.table.rows()] == [(Scope("acme"), None)]
    assert [row.scope for row in await load_overrides(database)] == [Scope("acme")]
    await set_override(database, Scope("initech"), Stage.OFF, by="ada", why="w", lasts=timedelta(hours=1))
    await watched.until(lambda: len(watched.table.rows()) == 2)
    await database.fetchrow(GUARD_SQL.unfreeze)
    await watched.until(lambda: watched.stage() is None)
    [row] = watched.table.rows()
    assert (row.scope, row.ends is not None) == (Scope("initech"), True)


async def test_a_freeze_is_heard_by_who_knows_of_an_end(database: Database) -> None:
    late = 0.0
    watched = Watched(database, clock=lambda: time.monotonic() + late)
    await watched.table.start()
    try:
        await set_override(database, Scope("acme"), Stage.OFF, by="ada", why="w", lasts=timedelta(hours=1))
        await watched.until(lambda: watched.stage() is Stage.OFF)
        await database.execute(GUARD_SQL.freeze, "9 of 20")
        late = 7200.0
        await until(lambda: watched.stage() is Stage.OFF)
        late = 0.0
        await database.fetchrow(GUARD_SQL.unfreeze)
        await until(lambda: watched.table.rows()[0].ends is not None)
    finally:
        await watched.close()
