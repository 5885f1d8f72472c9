"""Changes that do not come through the gateway: seen by every gateway, recorded once, in force only then."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.migration.flags.store import FileStore
from gateway.migration.ledger import observer
from gateway.migration.stages.requests import SetStage
from gateway.migration.stages.service import StageService
from gateway.routing.flag_edit import new_flag, with_rollout, with_stage
from gateway.routing.flag_file import FlagFile
from gateway.routing.overrides import clear_override, set_override
from gateway.routing.query import RouteQuery, Scope
from gateway.routing.stages import Stage
from gateway.storage.database import Database
from workers.testing.waiting import until

KEY = "task-backend"
GLOBEX = RouteQuery("globex", "add_episode", "task-2", "p2", plan=None)
Flips = Callable[[], Awaitable[list[dict[str, Any]]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "flags.json"
    write(file, new_flag(KEY))
    return file


def write(path: Path, flag: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"flags": {KEY: flag}}))
    fresh.replace(path)


def flip(source: str, scope: str, before: str | None, after: str | None, who: str, why: str) -> dict[str, Any]:
    return {"source": source, "scope": scope, "before": before, "after": after, "who": who, "why": why}


async def test_the_first_start_begins_the_ledger(database: Database, path: Path, new_routing: Any) -> None:
    routing = await new_routing(path)
    [first] = await database.fetch("SELECT id, source, scope, evidence::text FROM taskgate.ledger")
    assert (first["id"], first["source"], first["scope"]) == (1, "genesis", "all")
    assert json.loads(first["evidence"])["scopes"]["default"] == "off"
    route = routing.route()
    assert (route.usable, route.entry_id, route.rule) == (True, 1, "fallthrough")


async def test_a_restart_writes_nothing(database: Database, path: Path, new_routing: Any) -> None:
    await (await new_routing(path)).close()
    await new_routing(path)
    assert await database.fetchval("SELECT count(*) FROM taskgate.ledger") == 1


async def test_an_edited_file_is_recorded_once_by_several_gateways(path: Path, new_routing: Any, flips: Flips) -> None:
    first, second = await new_routing(path), await new_routing(path)
    FlagFile(path, KEY).edit(
        lambda flag: with_stage(flag, Scope("acme"), Stage.LIVE),
        who="ada",
        why="first move",
        what="tenant acme",
        describe=lambda flag: "",
    )
    routes = [await routing.until_stage(Stage.LIVE) for routing in (first, second)]
    assert await flips() == [flip("file", "tenant:acme", None, "live", "ada", "first move")]
    assert [(route.entry_id, route.rule) for route in routes] == [(2, "target"), (2, "target")]
    assert first.route(GLOBEX).entry_id == 1

    # An edit without the command names nobody.
    write(path, with_stage(new_flag(KEY), Scope("acme"), Stage.RAMPDOWN))
    await first.until_stage(Stage.RAMPDOWN)
    await second.until_stage(Stage.RAMPDOWN)
    [_, by_hand] = await flips()
    assert (by_hand["before"], by_hand["after"], by_hand["who"]) == ("live", "rampdown", "")


async def test_a_gateway_that_starts_between_the_entry_and_the_file_takes_nothing_back(
    database: Database, path: Path, new_routing: Any, flips: Flips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer, "FILE_PATIENCE_SECONDS", 60.0)  # a busy machine may need seconds to start one
    first = await new_routing(path)
    late: list[Any] = []

    class Interrupted(FileStore):
        async def _replace(self, *args: Any) -> Any:
            late.append(await new_routing(path))  # it reads the file as it was
            return await super()._replace(*args)

    door = StageService(
        database, Interrupted(database, FlagFile(path, KEY)), KEY, "test", configured=frozenset({"redis", "temporal"})
    )
    asked = SetStage(tenant_id="acme", stage="live", why="first move", based_on=await door.seen(), force=True)
    await door.set("ada", asked)
    for routing in (first, *late):
        await routing.until_stage(Stage.LIVE)
    assert await flips() == [flip("file", "tenant:acme", None, "live", "ada", "first move")]


async def test_what_was_taken_away_is_the_entry_of_what_decides_then(
    path: Path, new_routing: Any, flips: Flips
) -> None:
    routing = await new_routing(path)
    write(path, with_stage(new_flag(KEY), Scope("acme"), Stage.LIVE))
    await routing.until_stage(Stage.LIVE)
    write(path, new_flag(KEY))
    route = await routing.until_stage(Stage.OFF)
    assert (await flips())[-1]["after"] is None
    assert (route.entry_id, route.rule, routing.route(GLOBEX).entry_id) == (3, "fallthrough", 1)


async def test_a_percentage_is_told_in_words(database: Database, path: Path, new_routing: Any) -> None:
    routing = await new_routing(path)
    write(path, with_rollout(new_flag(KEY), Stage.LIVE, 99.999, by="tenant", seed=7))
    route = await routing.until_stage(Stage.LIVE)
    row = await database.fetchrow("SELECT * FROM taskgate.ledger WHERE id = $1", route.entry_id)
    assert row is not None
    assert (row["scope"], row["before"], row["after"]) == ("default", "off", None)
    assert json.loads(row["evidence"])["setting"] == "off 0.001 %, live 99.999 % by tenant, seed 7"


async def test_many_scopes_at_once_are_one_entry(database: Database, path: Path, new_routing: Any) -> None:
    routing = await new_routing(path)
    flag = new_flag(KEY) | {
        "contextTargets": [
            {"contextKind": "tenant", "variation": 3, "values": [f"t{number}" for number in range(200)] + ["acme"]}
        ]
    }
    write(path, flag)
    route = await routing.until_stage(Stage.LIVE)
    row = await database.fetchrow("SELECT * FROM taskgate.ledger WHERE id = 2")
    assert row is not None
    assert (row["scope"], route.entry_id, routing.route(GLOBEX).entry_id) == ("several", 2, 1)
    assert json.loads(row["evidence"])["scopes"]["tenant:acme"] == ["", "live"]
    flag["contextTargets"][0]["values"].remove("acme")
    write(path, flag)
    assert (await routing.until_stage(Stage.OFF)).entry_id == 3


async def test_a_flag_that_is_switched_off(path: Path, new_routing: Any, flips: Flips) -> None:
    flag = with_stage(new_flag(KEY), Scope("acme"), Stage.LIVE)
    write(path, flag)
    routing = await new_routing(path)
    write(path, flag | {"on": False})
    route = await routing.until_stage(Stage.OFF)
    [entry] = await flips()
    assert (entry["scope"], entry["after"], route.entry_id, route.rule) == ("all", "off", 2, "off")


async def test_overrides_set_cleared_and_removed_by_hand(
    database: Database, path: Path, new_routing: Any, flips: Flips
) -> None:
    first, second = await new_routing(path), await new_routing(path)
    await set_override(database, Scope("acme"), Stage.LIVE, by="ada", why="errors")
    routes = [await routing.until_stage(Stage.LIVE) for routing in (first, second)]
    assert {(route.entry_id, route.rule) for route in routes} == {(2, "override tenant:acme")}
    await clear_override(database, Scope("acme"), by="bob", why="mended")
    routes = [await routing.until_stage(Stage.OFF) for routing in (first, second)]
    assert {(route.entry_id, route.rule) for route in routes} == {(3, "fallthrough")}
    assert await flips() == [
        flip("override", "tenant:acme", None, "live", "ada", "errors"),
        flip("override", "tenant:acme", "live", None, "bob", "mended"),
    ]


async def test_an_override_that_expires(database: Database, path: Path, new_routing: Any, flips: Flips) -> None:
    routing = await new_routing(path)
    await set_override(database, Scope("acme"), Stage.LIVE, by="ada", why="try", lasts=timedelta(seconds=0.3))
    await routing.until_stage(Stage.LIVE)
    await until(lambda: routing.route().entry_id == 3)
    assert (await flips())[1:] == [
        flip("override", "tenant:acme", "live", None, "", "it expired; it was set because: try")
    ]


async def test_a_change_that_cannot_be_recorded_is_not_in_force(
    database: Database, path: Path, new_routing: Any
) -> None:
    routing = await new_routing(path)
    await database.execute("ALTER TABLE taskgate.ledger ADD CONSTRAINT full_disk CHECK (id < 2)")
    write(path, with_stage(new_flag(KEY), Scope("acme"), Stage.LIVE))
    await until(lambda: routing.entries.problem is not None)
    assert "full_disk" in str(routing.entries.problem)
    assert routing.router.problems() == [routing.entries.problem]
    await set_override(database, Scope("acme"), Stage.LIVE, by="ada", why="x")
    await until(lambda: routing.overrides.problem() is not None)
    route = routing.route()
    assert (route.stage, route.usable, route.entry_id) == (Stage.OFF, True, 1)

    await database.execute("ALTER TABLE taskgate.ledger DROP CONSTRAINT full_disk")
    await until(lambda: not routing.router.problems())
    assert routing.route().stage is Stage.LIVE


async def test_nothing_starts_before_the_ledger_was_read(database: Database, path: Path, new_routing: Any) -> None:
    write(path, with_stage(new_flag(KEY), Scope("acme"), Stage.LIVE))
    await database.execute("ALTER TABLE taskgate.ledger ADD CONSTRAINT full_disk CHECK (id < 0)")
    route = (await new_routing(path)).route()
    assert not route.usable
    assert "ledger" in str(route.problem)


async def test_versions_in_the_database_name_their_author(database: Database, new_routing: Any, flips: Flips) -> None:
    first, second = await new_routing(), await new_routing()
    add = (
        "INSERT INTO taskgate.flag_version (version, based_on, document, what, before, after, who, why)"
        " VALUES ($1::bigint, $1 - 1, $2::jsonb, '', '', '', 'ada', 'move')"
    )

    def document(stage: Stage) -> str:
        return json.dumps({"flags": {KEY: with_stage(new_flag(KEY), Scope("acme"), stage)}})

    await database.execute(add, 1, document(Stage.OFF))
    await until(lambda: first.route().rule == "target")
    await database.execute(add, 2, document(Stage.LIVE))
    for routing in (first, second):
        await routing.until_stage(Stage.LIVE)
    assert (await flips())[-1] == flip("database", "tenant:acme", "off", "live", "ada", "move")

    await database.execute(
        "UPDATE taskgate.flag_version SET document = $1::jsonb WHERE version = 2", document(Stage.COMPLETE)
    )
    for routing in (first, second):
        await routing.until_stage(Stage.COMPLETE)
    by_hand = "version 2 in database was changed by hand"
    assert (await flips())[-1] == flip("database", "tenant:acme", "live", "complete", "", by_hand)
