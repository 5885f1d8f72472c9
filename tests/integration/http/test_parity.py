"""`GET /gateway/v1/migration/parity` and `taskgate migration parity`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.bootstrap import build_gateway
from gateway.migration.parity.recorder import Recorder
from gateway.settings import Settings
from gateway.storage.database import Database

PATH = "/gateway/v1/migration/parity"


@pytest.fixture
async def admin(serve: Any, key: str, people: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with serve({}) as (client, _):
        client.headers["Authorization"] = f"Bearer {await people.add_user('root', admin=True)}"
        yield client


async def test_a_tenant_that_never_moved(admin: httpx.AsyncClient) -> None:
    answer = (await admin.get(PATH, params={"tenant_id": "t-ann"})).json()
    assert (answer["tenant_id"], answer["stage"], answer["verdict"], answer["types"]) == ("t-ann", "off", "no_data", [])
    assert answer["reasons"][0].startswith("nothing of t-ann has ended on temporal")


async def test_its_own_people_see_it_and_others_do_not(admin: httpx.AsyncClient, key: str) -> None:
    mine = {"Authorization": f"Bearer {key}"}
    assert (await admin.get(PATH, params={"tenant_id": "t-ann"}, headers=mine)).status_code == 200
    answer = await admin.get(PATH, params={"tenant_id": "t-bob"}, headers=mine)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:taskgate:error:tenant_not_found")
    assert (await admin.get(PATH, params={"tenant_id": "t-ann"}, headers={"Authorization": ""})).status_code == 401


@pytest.mark.parametrize("params", [{}, {"tenant_id": "t-ann", "since": "soon"}, {"tenant_id": "x" * 201}])
async def test_bad_input_is_said_so(admin: httpx.AsyncClient, params: dict[str, str]) -> None:
    assert (await admin.get(PATH, params=params)).status_code == 422


async def test_the_command(run: Any, key: str, people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", await people.add_user("root", admin=True))
    code, text = await run("migration", "parity", "--tenant", "t-ann")
    assert code == 3, text
    assert text.splitlines()[0] == "tenant t-ann, stage off: no_data"
    code, text = await run("migration", "parity", "--tenant", "t-ann", "--json")
    assert (code, json.loads(text)["verdict"]) == (3, "no_data")
    assert (await run("migration", "parity", "--tenant", "nobody"))[0] == 2
    assert (await run("migration", "parity"))[0] == 2


async def test_a_gate(admin: httpx.AsyncClient, key: str) -> None:
    asked = {"tenant_id": "t-ann", "task_type": "noop", "samples": 200}
    answer = (await admin.post(f"{PATH}/gate", json=asked)).json()
    assert (answer["verdict"], answer["samples"], answer["measures"]) == ("no_data", 200, [])
    assert (await admin.post(f"{PATH}/gate", json={**asked, "samples": 5})).status_code == 422
    assert (await admin.post(f"{PATH}/gate", json={**asked, "tenant_id": "nobody"})).status_code == 404
    mine = {"Authorization": f"Bearer {key}"}
    assert (await admin.post(f"{PATH}/gate", json=asked, headers=mine)).status_code == 403


async def test_a_gate_without_scipy_says_what_to_install(
    admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    answer = await admin.post(f"{PATH}/gate", json={"tenant_id": "t-ann", "task_type": "noop", "samples": 200})
    assert (answer.status_code, answer.json()["type"]) == (501, "urn:taskgate:error:parity_extra_missing")
    assert "pip install 'taskgate[parity]'" in answer.json()["detail"]


async def test_the_command_of_a_gate(run: Any, key: str, people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", await people.add_user("root", admin=True))
    words = ("migration", "parity", "gate", "--tenant", "t-ann", "--type", "noop", "--samples")
    code, text = await run(*words, "200")
    assert (code, text.splitlines()[0]) == (3, "no_data, 200 samples")
    code, text = await run(*words, "200", "--json")
    assert json.loads(text)["verdict"] == "no_data"
    assert (await run(*words, "5"))[0] == 2


async def test_what_ends_is_in_the_stream_within_five_seconds(serve_http: Any, key: str, database: Database) -> None:
    """Counted by a leader of its own, and told to whoever watches."""
    gateway = build_gateway(Settings(database_url=database.url), engines={})
    recorder = Recorder(database)
    async with (
        serve_http(gateway) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
        http.stream(
            "GET", f"{PATH}/stream", params={"tenant_id": "t-ann"}, headers={"Authorization": f"Bearer {key}"}
        ) as answer,
    ):
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: parity"
        first = json.loads((await anext(lines)).removeprefix("data: "))
        assert (first["tenant_id"], first["verdict"], first["types"]) == ("t-ann", "no_data", [])
        await database.execute(
            "WITH d AS ("
            " INSERT INTO taskgate.dispatch (task_id, tenant_id, group_id, task_type, state, backend, attempt)"
            " VALUES ('e', 't-ann', 'g', 'noop', 'completed', 'temporal', 1))"
            " INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, started_at, ended_at, outcome)"
            " VALUES ('e', 1, 1, 'temporal', 'w', now(), now(), 'completed')"
        )
        ended = time.monotonic()
        await recorder.tick()
        async for line in lines:
            if line.startswith("data: ") and json.loads(line.removeprefix("data: "))["types"]:
                break
        assert time.monotonic() - ended <= 5
        told = json.loads(line.removeprefix("data: "))["types"][0]
        assert (told["task_type"], told["streams"][0]["others_since"]) == ("noop", None), "not for administrators"
        gateway.parity_watch.end_streams()
        async for _ in lines:
            pass


async def test_who_may_follow(admin: httpx.AsyncClient, key: str) -> None:
    mine = {"Authorization": f"Bearer {key}"}
    for path in (PATH, f"{PATH}/stream"):
        assert (await admin.get(path, params={"tenant_id": "t-bob"}, headers=mine)).status_code == 404
        assert (await admin.get(path, params={"tenant_id": "nobody"})).status_code == 404
        assert (await admin.get(path, params={"tenant_id": "t-ann"}, headers={"Authorization": ""})).status_code == 401
        assert (await admin.get(f"{path}?tenant_id=a%00b")).status_code == 422
        assert (await admin.get(path)).status_code == 422


async def test_the_command_follows(run: Any, key: str, people: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def events(_: Any, path: str) -> Any:
        asked.append(path)
        yield "parity", {"tenant_id": "t-ann", "stage": "off", "verdict": "no_data", "reasons": ["wait"], "types": []}

    monkeypatch.setattr("gateway.cli.client.GatewayClient.events", events)
    monkeypatch.setenv("TASKGATE_API_KEY", key)
    code, text = await run("migration", "parity", "--tenant", "t-ann", "--watch", "--json")
    assert (code, json.loads(text)["reasons"], asked) == (0, ["wait"], [f"{PATH}/stream?tenant_id=t-ann"])
    assert (await run("migration", "parity", "--tenant", "t-ann", "--watch", "--since", "2026-01-01"))[0] == 2
