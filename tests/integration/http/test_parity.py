"""`GET /gateway/v1/migration/parity` and `taskgate migration parity`."""

from __future__ import annotations

import json
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
