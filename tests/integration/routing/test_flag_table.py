"""The flag in rows of our schema: in force in every gateway, whatever becomes of the database or of a row."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from gateway.routing import flag_table
from gateway.routing.flag_edit import new_flag, with_stage
from gateway.routing.flag_file import FlagChange
from gateway.routing.flags import FlagSource
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.stages import Stage
from gateway.routing.table_source import FlagTableSource
from gateway.storage.database import Database
from gateway.storage.listener import Listener
from workers.testing.waiting import News

KEY = "task-backend"
ACME = RouteQuery("acme", "add_episode", "1", "p1", plan=None)
#: A change must be in force within this many seconds.
IN_FORCE = 1.0
#: A slow poll, so that what a test sees came by notification.
SLOW = 3600.0


class Gateway:
    """What of a gateway follows the flag, and the news of its listener."""

    def __init__(self, database: Database, *, poll: float = SLOW) -> None:
        self._listener = Listener(database)
        self.source = FlagSource(flag_key=KEY, table=FlagTableSource(database, self._listener, KEY, poll=poll))
        self._news = News()
        self.source.add_listener(self._news.tell)

    async def start(self) -> None:
        await self.source.start()

    async def close(self) -> None:
        await self.source.close()
        await self._listener.close()

    async def until(self, holds: Callable[[], bool], *, within: float = IN_FORCE) -> None:
        await self._news.until(holds, within=within)

    async def until_stage(self, stage: Stage, *, within: float = IN_FORCE) -> None:
        await self.until(lambda: self.stage() is stage, within=within)

    def stage(self) -> Stage:
        return self.source.evaluate(ACME).stage


@asynccontextmanager
async def following(database: Database, **options: Any) -> AsyncIterator[Gateway]:
    gateway = Gateway(database, **options)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.close()


@pytest_asyncio.fixture
async def gateway(database: Database) -> AsyncIterator[Gateway]:
    async with following(database) as gateway:
        yield gateway


async def write(database: Database, version: int, stage: Stage | str) -> None:
    """A version by hand: `acme` at this stage, or any text as the document."""
    if isinstance(stage, Stage):
        stage = json.dumps({"flags": {KEY: with_stage(new_flag(KEY), Scope("acme"), stage)}})
    await database.execute(
        "INSERT INTO taskgate.flag_version (version, based_on, document, what, before, after, who, why)"
        " VALUES ($1::bigint, $1 - 1, $2::jsonb, 'w', 'b', 'a', 'ada', 'y')",
        version,
        stage,
    )


async def test_before_the_first_version_everybody_is_off(gateway: Gateway) -> None:
    evaluation = gateway.source.evaluate(ACME)
    assert (evaluation.stage, evaluation.known, gateway.source.version) == (Stage.OFF, False, None)
    assert gateway.source.owner == "database"
    assert gateway.source.problem() is None
    assert gateway.source.note() == "no flag has been set yet: every tenant is at stage off"


async def test_a_version_is_in_force_in_every_gateway_within_a_second(database: Database, gateway: Gateway) -> None:
    async with following(database) as other:
        await write(database, 1, Stage.LIVE)
        await asyncio.gather(gateway.until_stage(Stage.LIVE), other.until_stage(Stage.LIVE))
        await write(database, 2, Stage.OFF)
        await asyncio.gather(gateway.until_stage(Stage.OFF), other.until_stage(Stage.OFF))
        assert (gateway.source.version, other.source.version) == (2, 2)


async def test_a_flag_is_never_under_the_version_before(
    database: Database, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of the SDK puts it in force, and the event loop hears of that later."""
    await write(database, 1, Stage.LIVE)
    await gateway.until_stage(Stage.LIVE)
    heard, in_thread = asyncio.Event(), asyncio.to_thread

    async def late(function: Callable[..., Any], *arguments: Any) -> Any:
        result = await in_thread(function, *arguments)
        if function.__name__ == "init":
            await heard.wait()
        return result

    monkeypatch.setattr(asyncio, "to_thread", late)
    await write(database, 2, Stage.OFF)
    await gateway.until_stage(Stage.OFF)
    seen = gateway.source.version
    heard.set()
    assert seen == 2


async def test_a_gateway_that_starts_has_the_newest(database: Database) -> None:
    await write(database, 1, Stage.OFF)
    await write(database, 2, Stage.COMPLETE)
    async with following(database) as gateway:
        assert (gateway.stage(), gateway.source.version) == (Stage.COMPLETE, 2)


async def test_what_was_not_announced_is_polled(database: Database) -> None:
    async with following(database, poll=0.1) as gateway:
        await database.execute("ALTER TABLE taskgate.flag_version DISABLE TRIGGER tell_flag_changed")
        await write(database, 1, Stage.LIVE)
        await gateway.until_stage(Stage.LIVE)


async def test_old_versions_are_dropped(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flag_table, "KEPT_VERSIONS", 3)
    document = {"flags": {KEY: new_flag(KEY)}}
    for version in range(1, 6):
        change = FlagChange("", "ada", "default", "off", "off", "again", version)
        await flag_table.add_version(database, document, change, based_on=version - 1)
    assert [one.version for one in await flag_table.changes(database, 10)] == [3, 4, 5]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("{}", "it has no flag 'task-backend'"),
        ("[]", "it must be a JSON object"),
        (json.dumps({"flags": {KEY: new_flag(KEY) | {"fallthrough": {"variation": 9}}}}), "names variation 9"),
        (json.dumps({"flags": {KEY: new_flag(KEY) | {"variations": ["lvie"]}}}), "'lvie' is not a stage"),
    ],
)
async def test_a_row_by_hand_that_is_not_valid_changes_nothing(
    database: Database, gateway: Gateway, document: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    await write(database, 1, Stage.LIVE)
    await gateway.until_stage(Stage.LIVE)
    with caplog.at_level(logging.ERROR):
        await database.execute("UPDATE taskgate.flag_version SET document = $1::jsonb", document)
        await gateway.until(lambda: reason in (gateway.source.problem() or ""))
    problem = gateway.source.problem() or ""
    assert problem.startswith("flags in the database: version 1 is not valid: ")
    assert problem.endswith("; the last known flags stay in force (version 1)")
    assert [record.getMessage() for record in caplog.records if "flags in the database" in record.getMessage()] == [
        problem
    ]
    assert gateway.stage() is Stage.LIVE
    await write(database, 2, Stage.OFF)
    await gateway.until_stage(Stage.OFF)
    await gateway.until(lambda: gateway.source.problem() is None)


async def test_a_gateway_that_starts_before_an_invalid_version_has_the_last_valid_one(database: Database) -> None:
    await write(database, 1, Stage.OFF)
    await write(database, 2, Stage.LIVE)
    await write(database, 3, "{}")
    async with following(database) as gateway:
        assert (gateway.stage(), gateway.source.version) == (Stage.LIVE, 2)
        assert (gateway.source.problem() or "").startswith("flags in the database: version 3 is not valid")


async def test_rows_that_are_gone_change_nothing(database: Database, gateway: Gateway) -> None:
    await write(database, 1, Stage.LIVE)
    await gateway.until_stage(Stage.LIVE)
    await database.execute("DELETE FROM taskgate.flag_version")
    await gateway.until(lambda: "its rows are gone" in (gateway.source.problem() or ""))
    assert gateway.stage() is Stage.LIVE


async def test_the_last_known_flag_stays_while_the_database_is_away(
    database: Database, database_url: str, postgres_server: str
) -> None:
    """Its connections are cut and no new one is let in; the stage that was in force stays, and a later one comes."""
    name = database_url.rpartition("/")[2]
    async with following(database, poll=0.2) as gateway:
        await write(database, 1, Stage.COMPLETE)
        await gateway.until_stage(Stage.COMPLETE)
        admin = await asyncpg.connect(postgres_server)
        try:
            await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            await gateway.until(lambda: "they cannot be read" in (gateway.source.problem() or ""), within=10)
            assert gateway.stage() is Stage.COMPLETE
        finally:
            await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
            await admin.close()
        await gateway.until(lambda: gateway.source.problem() is None, within=10)
        await write(database, 2, Stage.LIVE)
        await gateway.until_stage(Stage.LIVE, within=5)


async def test_it_is_away_from_the_start(database_url: str) -> None:
    """A gateway starts all the same, with everybody at `off`, and says why."""
    database = Database("postgresql://postgres@127.0.0.1:1/none")
    async with following(database, poll=0.2) as gateway:
        assert gateway.source.evaluate(ACME).known is False
        await gateway.until(lambda: "every tenant is at stage off" in (gateway.source.problem() or ""), within=5)
    await database.close()
