"""A gateway that starts while nobody says anything of the flag routes as before, and records no change."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.migration.ledger import observer as observing
from gateway.migration.ledger.authors import Authors
from gateway.migration.ledger.entries import EntriesInForce
from gateway.migration.ledger.observer import RoutingObserver
from gateway.routing.flag_edit import new_flag, with_rollout, with_stage
from gateway.routing.flags import FlagSource
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.router import Route, Router
from gateway.routing.stages import REDIS, TEMPORAL, Stage
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from workers.testing.waiting import until

KEY = "task-backend"
ACME, GLOBEX = (
    RouteQuery("acme", "add_episode", "task-1", "p1", plan=None),
    RouteQuery("globex", "add_episode", "task-2", "p2", plan=None),
)


class Gateway:
    """Flag, ledger and router of one gateway."""

    def __init__(self, database: Database, flags: FlagSource) -> None:
        self._listener, self.flags = Listener(database), flags
        entries = EntriesInForce()
        entries.put("override", {})
        self._observer = RoutingObserver(database, self._listener, flags, entries, Authors(database, flags, None))
        self.router = Router(flags, None, frozenset({REDIS, TEMPORAL}), entries)

    async def start(self) -> None:
        await self.flags.start()
        await self._observer.start()

    async def close(self) -> None:
        await self._observer.close()
        await self._listener.close()
        await self.flags.close()

    async def until_stage(self, stage: Stage) -> Route:
        await until(lambda: self.router.route(ACME).stage is stage)
        return self.router.route(ACME)


NewGateway = Callable[[FlagSource], Awaitable[Gateway]]


@pytest.fixture
async def new_gateway(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NewGateway]:
    # Nobody waits for a newer version: what is recorded is recorded at once.
    monkeypatch.setattr(observing, "PATIENCE_SECONDS", 0.0)
    started: list[Gateway] = []

    async def start(flags: FlagSource) -> Gateway:
        gateway = Gateway(database, flags)
        started.append(gateway)
        await gateway.start()
        return gateway

    yield start
    for gateway in started:
        await gateway.close()


@pytest.fixture
def of_launchdarkly(launchdarkly: Any) -> Callable[[], FlagSource]:
    return lambda: FlagSource(flag_key=KEY, sdk_key=launchdarkly.sdk_key, base_url=launchdarkly.url, held=True)


def flag_at(version: int, stage: Stage) -> dict[str, Any]:
    """Acme at the stage, half of the others at live, by a prerequisite."""
    flag = with_stage(new_flag(KEY), Scope("acme"), stage)
    return with_rollout(flag, Stage.LIVE, 50, by="tenant", seed=7) | {
        "version": version,
        "prerequisites": [{"key": "gate", "variation": 0}],
    }


GATE = {"key": "gate", "version": 3, "on": True, "variations": [True, False], "fallthrough": {"variation": 0}}


async def entries(database: Database) -> list[tuple[str, str | None]]:
    rows = await database.fetch("SELECT scope, after FROM taskgate.ledger WHERE source <> 'genesis' ORDER BY id")
    return [(row["scope"], row["after"]) for row in rows]


@pytest.mark.parametrize("trouble", ["answers 500", "hangs", "refuses"])
async def test_launchdarkly_away_at_a_start_flips_nobody(
    launchdarkly: Any, database: Database, new_gateway: NewGateway, of_launchdarkly: Any, trouble: str
) -> None:
    launchdarkly.put(GATE)
    launchdarkly.put(flag_at(7, Stage.LIVE))
    first = await new_gateway(of_launchdarkly())
    before = await first.until_stage(Stage.LIVE)
    others = [first.router.route(RouteQuery(f"t{number}", "x", "t", "p", plan=None)).stage for number in range(40)]
    assert set(others) == {Stage.OFF, Stage.LIVE}
    await first.close()

    launchdarkly.is_broken, launchdarkly.answers = trouble == "answers 500", trouble != "hangs"
    if trouble == "refuses":
        await launchdarkly.stop()
    second = await new_gateway(of_launchdarkly())
    route = await second.until_stage(Stage.LIVE)
    assert (route.usable, route.rule, route.entry_id) == (True, "target (last known)", before.entry_id)
    assert [
        second.router.route(RouteQuery(f"t{number}", "x", "t", "p", plan=None)).stage for number in range(40)
    ] == others
    [problem] = second.router.problems()
    assert problem.startswith("LaunchDarkly is not connected")
    assert "; the last known flag stays in force (version 7 of launchdarkly, recorded at 2" in problem
    assert await entries(database) == []

    launchdarkly.is_broken, launchdarkly.answers = False, True
    if trouble == "refuses":
        await launchdarkly.start()
    launchdarkly.put(flag_at(8, Stage.RAMPDOWN))
    if trouble == "hangs":
        await launchdarkly.stop()
        await launchdarkly.start()
    route = await second.until_stage(Stage.RAMPDOWN)
    assert (route.rule, second.router.problems()) == ("target", [])
    assert await entries(database) == [("tenant:acme", "rampdown")]


async def test_without_any_record_the_default_holds(
    launchdarkly: Any, database: Database, new_gateway: NewGateway, of_launchdarkly: Any
) -> None:
    await launchdarkly.stop()
    gateway = await new_gateway(of_launchdarkly())
    route = await gateway.until_stage(Stage.OFF)
    assert (route.usable, route.rule, route.entry_id) == (True, "no flag", 1)


async def test_a_flag_that_launchdarkly_no_longer_has_is_a_change(
    launchdarkly: Any, database: Database, new_gateway: NewGateway, of_launchdarkly: Any
) -> None:
    launchdarkly.put(GATE)
    launchdarkly.put(flag_at(7, Stage.LIVE))
    first = await new_gateway(of_launchdarkly())
    await first.until_stage(Stage.LIVE)
    await first.close()
    launchdarkly.flags.clear()
    second = await new_gateway(of_launchdarkly())
    await second.until_stage(Stage.OFF)
    assert ("all", "off") in await entries(database)


@pytest.mark.parametrize("content", [None, "{"])
async def test_a_file_that_is_gone_or_broken_at_a_start_flips_nobody(
    tmp_path: Path, database: Database, new_gateway: NewGateway, content: str | None
) -> None:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps({"flags": {KEY: flag_at(7, Stage.LIVE), "gate": GATE}}))
    first = await new_gateway(FlagSource(flag_key=KEY, file=path, held=True))
    await first.until_stage(Stage.LIVE)
    await first.close()
    path.unlink()
    if content is not None:
        path.write_text(content)
    second = await new_gateway(FlagSource(flag_key=KEY, file=path, held=True))
    route = await second.until_stage(Stage.LIVE)
    assert (route.usable, route.rule) == (True, "target (last known)")
    [problem] = second.router.problems()
    assert str(path) in problem
    assert "every tenant is at stage off" not in problem
    assert "the last known flag stays in force (version 7" in problem
    assert await entries(database) == []


async def test_where_the_last_flag_was_not_kept_tasks_wait(
    launchdarkly: Any, database: Database, new_gateway: NewGateway, of_launchdarkly: Any
) -> None:
    launchdarkly.put(GATE)
    launchdarkly.put(flag_at(7, Stage.LIVE))
    first = await new_gateway(of_launchdarkly())
    await first.until_stage(Stage.LIVE)
    await first.close()
    await database.execute("DELETE FROM taskgate.flag_last_known")
    await launchdarkly.stop()
    second = await new_gateway(of_launchdarkly())
    assert not second.router.route(ACME).usable
    assert "nobody says anything of the flag, and what it was before is not known; tasks wait" in (
        second.router.problems()
    )
    assert await entries(database) == []
    await launchdarkly.start()
    assert (await second.until_stage(Stage.LIVE)).usable
