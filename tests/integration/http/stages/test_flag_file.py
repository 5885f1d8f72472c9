"""A flag file is changed through the same endpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.storage.database import Database
from tests.integration.http.stages.conftest import ANN, KEY, PATH, flips


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
