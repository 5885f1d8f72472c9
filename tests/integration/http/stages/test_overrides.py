"""Overrides, which stand above the flag."""

from __future__ import annotations

import httpx

from gateway.storage.database import Database
from tests.integration.http.stages.conftest import ANN, PATH, flips


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
