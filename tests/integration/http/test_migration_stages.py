"""`/gateway/v1/migration/stages`: the one door, on the flag in the database, with real gateways."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from gateway.bootstrap import build_gateway
from gateway.migration.stages.requests import SetStage
from gateway.routing.flag_edit import new_flag, with_stage
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
from gateway.settings import Settings
from gateway.storage.database import Database

PATH = "/gateway/v1/migration/stages"
KEY = "task-backend"
ANN = {"tenant_id": "t-ann", "stage": "live", "why": "pilot", "based_on": 0}
LEFT = "tenant t-ann: 2 tasks still on redis (2 queued; 2 probe)"


@pytest.fixture
async def door(serve: Callable[..., Any], admin: dict[str, str]) -> Any:
    """An administrator's client of a gateway whose flag is in the database."""
    async with serve() as (client, _):
        client.headers.update(admin)
        yield client


async def flips(database: Database, scope: str = "tenant:t-ann") -> list[tuple[Any, ...]]:
    """The entries of the ledger about this scope."""
    rows = await database.fetch(
        "SELECT source, scope, before, after, who, why, version FROM taskgate.ledger WHERE scope = $1 ORDER BY id",
        scope,
    )
    return [tuple(row) for row in rows]


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


async def test_overrides(door: httpx.AsyncClient, database: Database) -> None:
    place = PATH + "/overrides"
    asked = {"tenant_id": "t-ann", "stage": "off", "why": "errors", "based_on": 0, "minutes": 30}
    first = (await door.put(place, json=asked)).json()
    assert (first["stage"], first["by"], first["warnings"]) == ("off", "root", [])
    assert first["expires_at"] is not None
    stale = await door.put(place, json={**asked, "stage": "live"})
    assert (stale.status_code, stale.json()["version"]) == (409, first["version"])
    assert "the override for tenant t-ann has version" in stale.json()["detail"]
    assert "root changed override for tenant t-ann from not set to off" in stale.json()["detail"]
    second = (await door.put(place, json={**asked, "stage": "live", "based_on": first["version"]})).json()
    assert [row["version"] for row in (await door.get(PATH)).json()["overrides"]] == [second["version"]]
    clear = {"tenant_id": "t-ann", "why": "over"}
    assert (await door.delete(place, params={**clear, "based_on": first["version"]})).status_code == 409
    assert (await door.delete(place, params={**clear, "based_on": second["version"]})).status_code == 204
    nothing = await door.delete(place, params={**clear, "based_on": 0})
    assert (nothing.status_code, nothing.json()["detail"]) == (409, "there is no override for tenant t-ann")
    assert [(source, scope, before, after) for source, scope, before, after, *_ in await flips(database)] == [
        ("override", "tenant:t-ann", None, "off"),
        ("override", "tenant:t-ann", "off", "live"),
        ("override", "tenant:t-ann", "live", None),
    ]


async def test_an_override_that_has_expired_is_none(door: httpx.AsyncClient, database: Database) -> None:
    asked = {"everything": True, "stage": "off", "why": "x", "based_on": 0}
    await door.put(PATH + "/overrides", json=asked)
    await database.execute("UPDATE taskgate.route_override SET expires_at = now() - interval '1 s'")
    assert (await door.put(PATH + "/overrides", json={**asked, "stage": "live"})).status_code == 200


async def test_an_override_during_a_move_says_what_becomes_of_it(door: httpx.AsyncClient) -> None:
    await door.put(PATH, json={**ANN, "stage": "rampdown"})
    asked = {"tenant_id": "t-ann", "task_type": "probe", "stage": "off", "why": "errors", "based_on": 0}
    made = (await door.put(PATH + "/overrides", json=asked)).json()
    assert made["notes"] == [
        "the flag has tenant t-ann at rampdown: the move follows the override (live stops it, off sends back what"
        " nobody has begun), and goes on when the override ends"
    ]
    other = (await door.put(PATH + "/overrides", json={**asked, "tenant_id": "t-bob"})).json()
    assert other["notes"] == []


async def test_a_ledger_that_cannot_be_written_refuses_every_change(
    door: httpx.AsyncClient, serve: Callable[..., Any], admin: dict[str, str], database: Database, tmp_path: Path
) -> None:
    await database.execute("ALTER TABLE taskgate.ledger ADD CHECK (who != 'root')")
    path = tmp_path / "flags.json"
    async with serve(flags_file=path) as (of_file, _):
        of_file.headers.update(admin)
        override = {"everything": True, "stage": "off", "why": "x", "based_on": 0}
        for client, place, asked in (
            (door, "", ANN),
            (door, "/rollout", {"stage": "live", "percent": 5, "why": "x", "based_on": 0}),
            (door, "/overrides", override),
            (of_file, "", ANN),
        ):
            refused = await client.put(PATH + place, json=asked)
            assert (refused.status_code, refused.json()["type"]) == (503, "urn:taskgate:error:ledger_unwritable")
    assert await database.fetchval("SELECT count(*) FROM taskgate.flag_version") == 0
    assert await database.fetchval("SELECT count(*) FROM taskgate.route_override") == 0
    assert not path.exists()


async def test_what_is_wrong_with_a_request_is_said(door: httpx.AsyncClient) -> None:
    for place, asked in (
        ("", {**ANN, "stage": "lvie"}),
        ("", {name: value for name, value in ANN.items() if name != "based_on"}),
        ("", {**ANN, "why": "  "}),
        ("", {**ANN, "everything": True}),
        ("", {"stage": "live", "why": "x", "based_on": 0}),
        ("", {**ANN, "tennant": "x"}),
        ("", {**ANN, "based_on": -1}),
        ("", {**ANN, "based_on": 2**63}),
        ("/rollout", {"stage": "live", "percent": 101, "why": "x", "based_on": 0}),
        ("/overrides", {**ANN, "minutes": 0}),
    ):
        answer = await door.put(PATH + place, json=asked)
        assert answer.status_code == 422, (place, asked, answer.text)
    assert (await door.delete(PATH, params={"why": "x", "based_on": 0})).status_code == 422
    assert (await door.delete(PATH, params={"tenant_id": "a", "why": "x", "based_on": 0, "x": 1})).status_code == 422
    for document in ({}, {"flags": {}}, {"flagValues": {KEY: "off"}}, {"flags": {KEY: {"variations": ["lvie"]}}}):
        answer = await door.put(PATH + "/document", json={"document": document, "why": "x", "based_on": 0})
        assert answer.status_code == 409, (document, answer.text)


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


async def test_a_file_is_changed_through_the_same_door(
    serve: Callable[..., Any], admin: dict[str, str], tmp_path: Path, database: Database
) -> None:
    path = tmp_path / "flags.json"
    async with serve(flags_file=path) as (client, _):
        client.headers.update(admin)
        assert (await client.put(PATH, json=ANN)).json()["version"] == 1
        assert json.loads(path.read_text())["flags"][KEY]["version"] == 1
        assert (await client.put(PATH, json=ANN)).status_code == 409
        # An edit by hand that left the version as it is does not go unseen either.
        made = await client.put(PATH, json={**ANN, "stage": "off", "based_on": 1})
        assert (made.json()["before"], made.json()["after"]) == ("live", "off")
        assert (await client.get(PATH)).json()["source"] == "file"
        path.write_text("{")
        assert "it is not JSON" in (await client.get(PATH)).json()["problem"]
        assert (await client.put(PATH, json={**ANN, "based_on": 0})).status_code == 409
    assert [(source, before, after) for source, _, before, after, *_ in await flips(database)] == [
        ("file", None, "live"),
        ("file", "live", "off"),
    ]


async def test_a_change_of_the_file_that_is_not_made_is_taken_back_in_the_ledger(
    serve: Callable[..., Any],
    admin: dict[str, str],
    tmp_path: Path,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "flags.json"
    async with serve(flags_file=path) as (client, gateway):
        client.headers.update(admin)
        await client.put(PATH, json=ANN)
        held = await gateway.stages._store.held()
        # Somebody else is faster, between the look and the write.
        other = json.loads(path.read_text())
        other["flags"][KEY]["version"] = 2
        path.write_text(json.dumps(other))

        async def seen_before() -> Any:
            monkeypatch.undo()
            return held

        monkeypatch.setattr(gateway.stages._store, "held", seen_before)
        assert (await client.put(PATH, json={**ANN, "stage": "off", "based_on": 1})).status_code == 409
    assert json.loads(path.read_text()) == other
    made, taken_back = (await flips(database))[1:]
    assert made[2:4] == ("live", "off")
    assert taken_back[2:4] == ("off", "live")
    assert taken_back[5].startswith("not made: ")


async def test_only_administrators(client: httpx.AsyncClient) -> None:
    assert (await client.get(PATH)).status_code == 403
    assert (await client.put(PATH, json=ANN)).status_code == 403
    assert (await client.get(PATH + "/stream")).status_code == 403


async def test_the_stream_tells_of_flag_and_overrides(
    serve: Callable[..., Any], serve_http: Callable[..., Any], admin: dict[str, str], database: Database
) -> None:
    gateway = build_gateway(Settings(database_url=database.url), engines={})
    await gateway.flags.start()
    await gateway.observer.start()
    await gateway.overrides.start()
    async with serve_http(gateway) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        http.headers.update(admin)
        async with asyncio.timeout(20), http.stream("GET", PATH + "/stream") as answer:
            lines = answer.aiter_lines()

            async def state() -> dict[str, Any]:
                async for line in lines:
                    if line.startswith("data: "):
                        return dict(json.loads(line.removeprefix("data: ")))
                raise AssertionError("the stream ended")

            assert (await state())["settings"] == []
            await http.put(PATH, json=ANN)
            while not (told := await state())["settings"]:
                pass
            assert (told["version"], told["settings"][0]["stage"]) == (1, "live")
            override = {"everything": True, "stage": "off", "why": "x", "based_on": 0}
            await http.put(PATH + "/overrides", json=override)
            while not (told := await state())["overrides"]:
                pass
            assert told["overrides"][0]["by"] == "root"
            await http.put(PATH, json={**ANN, "stage": "off", "based_on": 1})
            while (told := await state())["settings"][0]["stage"] != "off":
                pass
            assert told["version"] == 2


async def test_a_change_is_in_force_in_another_gateway_within_a_second(
    serving: Callable[..., Any], database_url: str, redis_server: str, admin: dict[str, str]
) -> None:
    """Two gateway processes without a flag file: what one is told, both route by."""
    async with (
        serving(database_url, redis_server) as (_, first),
        serving(database_url, redis_server) as (_, second),
        httpx.AsyncClient(headers=admin) as http,
    ):
        for version, stage in enumerate(("live", "off", "rampdown", "complete")):
            asked = {**ANN, "stage": stage, "based_on": version}
            assert (await http.put(first + PATH, json=asked)).status_code == 200
            begun = time.monotonic()
            for url in (first, second):
                while (await http.get(f"{url}/gateway/v1/tenants/t-ann")).json()["stage"] != stage:
                    assert time.monotonic() - begun < 1.0
        ready = (await http.get(f"{second}/gateway/v1/ready")).json()
        [problem] = ready["problems"]
        assert problem.startswith("flag task-backend: stage complete (tenant t-ann) asks for temporal, which is not")
        connection = await asyncpg.connect(database_url)
        await connection.execute("UPDATE taskgate.flag_version SET document = '{}'")
        await connection.close()
        begun = time.monotonic()
        invalid = "flags in the database: version 4 is not valid: it has no flag 'task-backend'"
        while not any(
            problem.startswith(invalid) for problem in (await http.get(f"{second}/gateway/v1/ready")).json()["problems"]
        ):
            assert time.monotonic() - begun < 2.0
        assert (await http.get(f"{second}/gateway/v1/tenants/t-ann")).json()["stage"] == "complete"


def test_the_model_takes_spaces_off() -> None:
    asked = SetStage.model_validate({**ANN, "tenant_id": " t-ann ", "why": " x "})
    assert (asked.tenant_id, asked.why) == ("t-ann", "x")
