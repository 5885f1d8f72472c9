"""The flag in the database: set, shared out, refused."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from gateway.routing.flag_edit import new_flag, with_stage
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.storage.database import Database
from tests.integration.http.stages.conftest import ANN, KEY, PATH, flips

LEFT = "tenant t-ann: 2 tasks still on redis (2 queued; 2 probe)"


async def test_set_and_unset(door: httpx.AsyncClient, database: Database) -> None:
    empty = (await door.get(PATH)).json()
    assert (empty["source"], empty["version"], empty["default"], empty["settings"]) == ("database", 0, "off", [])
    made = (await door.put(PATH, json=ANN)).json()
    assert {name: made[name] for name in ("who", "what", "before", "after", "why", "version", "warnings")} == {
        "who": "root",
        "what": "tenant t-ann",
        "before": "not set",
        "after": "live",
        "why": "pilot",
        "version": 1,
        "warnings": [],
    }
    assert "temporal is not configured" in made["notes"][0]
    view = (await door.get(PATH)).json()
    assert (view["version"], view["last_change"]["why"]) == (1, "pilot")
    assert view["settings"] == [{"tenant_id": "t-ann", "project_id": None, "task_type": None, "stage": "live"}]
    gone = await door.delete(PATH, params={"tenant_id": "t-ann", "why": "back", "based_on": 1})
    assert (gone.json()["after"], gone.json()["version"]) == ("not set", 2)
    again = await door.delete(PATH, params={"tenant_id": "t-ann", "why": "back", "based_on": 2})
    assert (again.status_code, again.json()["detail"]) == (409, "nothing is set for tenant t-ann")
    assert await flips(database) == [
        ("database", "tenant:t-ann", None, "live", "root", "pilot", "1"),
        ("database", "tenant:t-ann", "live", None, "root", "back", "2"),
    ]
    changes = (await door.get(PATH + "/history")).json()["changes"]
    assert [(one["version"], one["after"]) for one in changes] == [(1, "live"), (2, "not set")]


async def test_percentages_and_the_default(door: httpx.AsyncClient, database: Database) -> None:
    asked = {"stage": "live", "percent": 25, "why": "x", "based_on": 0}
    assert (await door.put(PATH + "/rollout", json=asked)).json()["after"] == "off 75 %, live 25 % by tenant"
    asked |= {"percent": 12.5, "unit": "task", "based_on": 1}
    assert (await door.put(PATH + "/rollout", json=asked)).json()["after"] == "off 87.5 %, live 12.5 % by task"
    made = await door.put(PATH, json={"everything": True, "stage": "live", "why": "x", "based_on": 2})
    assert (made.json()["what"], made.json()["after"]) == ("default", "live")
    assert [(scope, before, after) for _, scope, before, after, *_ in await flips(database, "default")] == [
        ("default", None, None),
        ("default", None, None),
        ("default", None, "live"),
    ]
    setting = "SELECT setting FROM taskgate.routing_in_force WHERE layer = 'flag' AND scope = 'default'"
    assert await database.fetchval(setting) == "live"


async def test_a_version_that_is_not_the_newest_is_refused(door: httpx.AsyncClient, database: Database) -> None:
    await door.put(PATH, json=ANN)
    stale = await door.put(PATH, json={**ANN, "tenant_id": "t-bob"})
    problem = stale.json()
    assert (stale.status_code, problem["type"]) == (409, "urn:taskgate:error:stage_version_stale")
    assert (problem["version"], [one["who"] for one in problem["changes"]]) == (1, ["root"])
    assert (
        "the flag has version 1, this change is based on 0: root changed tenant t-ann from not set to live"
        in (problem["detail"])
    )
    assert len(await flips(database)) == 1


async def test_of_many_at_once_one_is_done(door: httpx.AsyncClient, database: Database) -> None:
    """Each is based on what it has seen: of eight that saw the same, one is made."""
    answers = await asyncio.gather(*(door.put(PATH, json={**ANN, "why": f"number {n}"}) for n in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert await database.fetchval("SELECT count(*) FROM taskgate.flag_version") == len(await flips(database)) == 1


async def test_an_unknown_tenant_is_refused_unless_insisted_on(door: httpx.AsyncClient) -> None:
    refused = await door.put(PATH, json={**ANN, "tenant_id": "t-nan"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:taskgate:error:stage_change_refused")
    assert refused.json()["detail"].startswith("there is no tenant 't-nan'; ")
    assert "\n" not in refused.json()["detail"]
    made = await door.put(PATH, json={**ANN, "tenant_id": "t-nan", "force": True})
    assert (made.status_code, made.json()["warnings"]) == (200, ["there is no tenant 't-nan'; it is set all the same"])
    foreign = await door.put(PATH, json={**ANN, "project_id": "p-bob", "based_on": 1})
    assert "project p-bob belongs to tenant t-bob" in foreign.json()["detail"]


@pytest.mark.parametrize(
    ("method", "place", "asked"),
    [
        ("PUT", "", {"tenant_id": "t-ann", "stage": "complete"}),
        ("PUT", "", {"everything": True, "stage": "complete"}),
        ("PUT", "/rollout", {"stage": "complete", "percent": 100}),
        ("PUT", "/overrides", {"everything": True, "stage": "complete"}),
        (
            "PUT",
            "/document",
            {"document": {"flags": {KEY: with_stage(new_flag(KEY), Scope("t-ann"), Stage.COMPLETE)}}},
        ),
    ],
)
async def test_complete_while_tasks_are_left_is_refused_unless_insisted_on(
    door: httpx.AsyncClient, new_task: Any, database: Database, method: str, place: str, asked: dict[str, Any]
) -> None:
    for _ in range(2):
        await new_task(tenant_id="t-ann")
    refused = await door.request(method, PATH + place, json={**asked, "why": "x", "based_on": 0})
    assert (refused.status_code, LEFT in refused.json()["detail"]) == (409, True)
    assert await flips(database) == []
    made = await door.request(method, PATH + place, json={**asked, "why": "x", "based_on": 0, "force": True})
    assert made.status_code == 200
    view = (await door.get(PATH)).json()
    assert view["stranded"] == [LEFT]


async def test_a_row_by_hand_that_is_not_valid(door: httpx.AsyncClient, database: Database) -> None:
    """The newest version is no flag: reading says so, changes are refused, and a valid document replaces it."""
    await door.put(PATH, json=ANN)
    document = (await door.get(PATH + "/document")).json()["document"]
    await database.execute("UPDATE taskgate.flag_version SET document = '{}'")
    view = (await door.get(PATH)).json()
    assert view["problem"] == "version 1 in the database is not valid: it has no flag 'task-backend'"
    refused = await door.put(PATH, json={**ANN, "based_on": 1})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:taskgate:error:flag_unsound")
    assert "taskgate flags import" in refused.json()["detail"]
    made = await door.put(PATH + "/document", json={"document": document, "why": "back", "based_on": 1})
    assert (made.status_code, made.json()["version"]) == (200, 2)
    assert (await door.get(PATH)).json()["settings"][0]["stage"] == "live"
