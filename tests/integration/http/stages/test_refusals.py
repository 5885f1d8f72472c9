"""What is refused whatever holds the flag: bad requests, the wrong caller, a ledger that takes no entry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from gateway.migration.stages.requests import SetStage
from gateway.storage.database import Database
from tests.integration.http.stages.conftest import ANN, KEY, PATH


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


async def test_only_administrators(client: httpx.AsyncClient) -> None:
    assert (await client.get(PATH)).status_code == 403
    assert (await client.put(PATH, json=ANN)).status_code == 403
    assert (await client.get(PATH + "/stream")).status_code == 403


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


def test_the_model_takes_spaces_off() -> None:
    asked = SetStage.model_validate({**ANN, "tenant_id": " t-ann ", "why": " x "})
    assert (asked.tenant_id, asked.why) == ("t-ann", "x")
