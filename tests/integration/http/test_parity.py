"""`GET /gateway/v1/migration/parity` and `taskgate migration parity`."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

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
