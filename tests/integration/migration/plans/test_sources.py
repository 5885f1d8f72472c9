"""Plans work with every source of the flag, also while what holds it is away."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.migration.flags.errors import FlagStoreUnavailable
from gateway.migration.flags.store import Also, FileStore, Held, TableStore, nothing_else
from gateway.migration.ledger.writer import Flip
from gateway.migration.plans.errors import PlanInvalid
from gateway.migration.stages.requests import SetStage
from gateway.routing.flag_document import Json
from gateway.routing.flag_edit import new_flag
from gateway.routing.flag_file import FlagChange, FlagFile
from gateway.routing.query import RouteQuery
from gateway.routing.stages import Stage
from workers.testing.waiting import until

KEY = "task-backend"
World = Any
PLAN = "name: spring\nwhy: w\nbake: '0'\nwaves: [{tenants: [acme]}, {tenants: [globex]}]\n"


class Elsewhere(TableStore):
    """A flag that others hold, and that cannot be reached now and then; flips and steps are two transactions."""

    source = "launchdarkly"
    is_away = False

    async def held(self) -> Held:
        self._check()
        return await super().held()

    async def write(
        self, held: Held, document: Json, change: FlagChange, flips: Sequence[Flip], also: Also = nothing_else
    ) -> FlagChange:
        self._check()
        return await super().write(held, document, change, flips, also)

    def _check(self) -> None:
        if Elsewhere.is_away:
            raise FlagStoreUnavailable("LaunchDarkly does not answer")


@pytest.fixture
async def elsewhere(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(Elsewhere, "is_away", False)
    world.store = lambda database: Elsewhere(database, KEY)
    world.stages = world._door(world.database)
    await world.begin_term()
    version, _ = await world.stages.document()
    await world.stages.set("ada", SetStage(everything=True, stage="off", why="a flag", based_on=version))
    await until(lambda: world.routing.flags.document() is not None)
    return world


async def overrides(world: World) -> list[tuple[str, str, str]]:
    rows = await world.database.fetch("SELECT tenant_id, stage, set_by FROM taskgate.route_override ORDER BY 1")
    return [(row["tenant_id"], row["stage"], row["set_by"]) for row in rows]


async def test_overrides_stand_in_for_a_flag_that_is_away_and_are_folded_back(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    monkeypatch.setattr(Elsewhere, "is_away", True)
    held = await world.until("held", minutes=1)
    assert held["says"] == "all waves are over; overrides stand in for the flag until it can be changed"
    assert await overrides(world) == [("acme", "live", "taskgate plan"), ("globex", "live", "taskgate plan")]
    monkeypatch.setattr(Elsewhere, "is_away", False)
    assert await world.settings() == {}
    await world.tick(minutes=1)
    assert await world.settings() == {"acme": "live", "globex": "live"}
    await until(lambda: len(_targets(world)) == 2)
    await world.until("done", minutes=1)
    assert await overrides(world) == []
    await until(lambda: not world.routing.overrides.rows())
    assert world.routing.route(RouteQuery("globex", "backup", plan=None)).stage is Stage.LIVE
    # At no moment the flag and the overrides together said `off`.
    entries = await world.database.fetch(
        "SELECT source, before, after FROM taskgate.ledger WHERE kind = 'flip' AND scope = 'tenant:acme' ORDER BY id"
    )
    assert [tuple(row) for row in entries] == [
        ("override", None, "live"),
        ("launchdarkly", None, "live"),
        ("override", "live", None),
    ]


async def test_a_guardrail_takes_back_a_tenant_that_an_override_of_a_plan_moved(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.tick()
    await world.trip("acme")
    assert await overrides(world) == [("acme", "off", "taskgate guardrail")]
    assert (await world.until("held"))["says"].startswith("the guardrail took tenant acme back to off")


async def test_a_rollback_does_not_wait_for_a_flag_that_is_away(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    await world.until("done", minutes=1)
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.act("rollback")
    await world.tick()
    assert await overrides(world) == [("acme", "off", "taskgate plan"), ("globex", "off", "taskgate plan")]
    assert (await world.plan())["says"] == "LaunchDarkly does not answer"
    monkeypatch.setattr(Elsewhere, "is_away", False)
    await world.tick(minutes=1)
    await world.tick(minutes=1)
    await until(lambda: not _targets(world))
    await world.until("aborted", minutes=1)
    assert (await world.settings(), await overrides(world)) == ({}, [])


async def test_a_rollback_that_is_aborted_while_the_flag_is_away_leaves_tenants_where_they_were(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    await world.until("done", minutes=1)
    await until(lambda: len(_targets(world)) == 2)
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.act("rollback")
    await world.tick()
    await world.act("abort")
    with pytest.raises(PlanInvalid, match="plan spring is over, but by overrides it still moves acme, too"):
        await world.write("name: rival\nwhy: w\nwaves: [{tenants: [acme]}]\n")
    monkeypatch.setattr(Elsewhere, "is_away", False)
    await world.tick(2, minutes=1)
    await until(lambda: not _targets(world))
    await world.tick(minutes=1)
    assert (await world.settings(), await overrides(world)) == ({}, [])
    assert [wave["back"] for wave in (await world.plan())["waves"]] == [1, 1]
    await world.write("name: rival\nwhy: w\nwaves: [{tenants: [acme]}]\n")


@pytest.mark.parametrize("lack", ["token", "flag"])
async def test_no_override_stands_in_for_a_flag_that_is_not_known_or_never_changed_from_here(
    elsewhere: World, monkeypatch: pytest.MonkeyPatch, lack: str
) -> None:
    world = elsewhere
    await world.write(PLAN)
    await world.act("start")
    if lack == "token":
        monkeypatch.setattr(Elsewhere, "refusal", "no token")
    else:
        monkeypatch.setattr(world.runner._mover, "_known", lambda: None)
    monkeypatch.setattr(Elsewhere, "is_away", True)
    await world.tick(3, minutes=1)
    assert ((await world.plan())["says"], await overrides(world)) == ("LaunchDarkly does not answer", [])


async def test_a_flag_file_that_is_read_only_holds_the_plan_and_writes_nothing(
    world: World, new_routing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps({"flags": {KEY: new_flag(KEY)}}))
    world.routing = await new_routing(path)
    world.store = lambda database: FileStore(database, FlagFile(path, KEY))
    world.stages = world._door(world.database)
    await world.begin_term()
    await world.write(PLAN)
    await world.act("start")
    with monkeypatch.context() as read_only:
        read_only.setattr(os, "access", lambda where, mode: False)
        held = await world.until("held")
        assert held["says"] == f"the flag file {path} is read-only here: let the gateway write to its directory"
        before = await world.database.fetchval("SELECT count(*) FROM taskgate.ledger")
        await world.tick(3, minutes=1)
        assert await world.database.fetchval("SELECT count(*) FROM taskgate.ledger") == before
    await world.until("done", minutes=1)
    assert await world.settings() == {"acme": "live", "globex": "live"}
    assert await world.flips() == {"acme": 1, "globex": 1}


def _targets(world: World) -> list[str]:
    flag = world.routing.flags.document() or {}
    return [one for target in flag.get("contextTargets") or [] for one in target["values"]]
