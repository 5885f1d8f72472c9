"""`/gateway/v1/migration/guardrails` and `taskgate migration guardrails`: set, show, unlock, unfreeze, history."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.storage.database import Database

PATH = "/gateway/v1/migration/guardrails"
STAGES = "/gateway/v1/migration/stages"
LOCKED = """
INSERT INTO taskgate.guardrail (tenant_id, phase, redis_stage, since, rollbacks, concerns)
VALUES ('t-ann', 'locked', 'off', '{}', 3, '{}')
"""
HELD = """
INSERT INTO taskgate.guardrail (tenant_id, phase, redis_stage, since, rollbacks, concerns)
VALUES ('t-ann', 'armed', 'off', '{}', 0, '{"regression": {"response": "hold", "why": "backup fails"}}')
"""


@pytest.fixture
async def admin(serve: Any, key: str, people: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with serve({}) as (client, _):
        client.headers["Authorization"] = f"Bearer {await people.add_user('root', admin=True)}"
        yield client


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:taskgate:error:")


async def test_what_is_set_applies_level_by_level(admin: httpx.AsyncClient) -> None:
    await admin.put(PATH, json={"dead_letters_per_minute": 20, "why": "all"})
    await admin.put(PATH, json={"tier": "enterprise", "on_threshold": "hold", "why": "tier"})
    answer = await admin.put(PATH, json={"tenant_id": "t-ann", "dry_run": True, "why": "first week"})
    assert answer.status_code == 200, answer.text
    [guardrail] = answer.json()["guardrails"]
    assert (guardrail["tenant_id"], guardrail["phase"]) == ("t-ann", "resting")
    assert guardrail["policy"] == {
        "on_regression": "roll_back",
        "dry_run": True,
        "on_threshold": "hold",
        "queue_age_seconds": None,
        "dead_letters_per_minute": 20.0,
        "worker_losses_per_minute": None,
    }
    scopes = {one["scope"]: one["why"] for one in (await admin.get(PATH)).json()["settings"]}
    assert scopes == {"default": "all", "tier:enterprise": "tier", "tenant:t-ann": "first week"}
    events = (await admin.get(f"{PATH}/history", params={"tenant_id": "t-ann", "limit": 1})).json()
    assert (events["events"][0]["kind"], events["events"][0]["who"]) == ("changed", "root")
    older = await admin.get(f"{PATH}/history", params={"tenant_id": "t-ann", "cursor": events["next_cursor"]})
    assert [one["why"] for one in older.json()["events"]] == [
        "tier:enterprise: on_threshold hold (tier)",
        "default: dead_letters_per_minute 20.0 (all)",
    ]


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"queue_age_seconds": 0}, "queue_age_seconds"),
        ({"queue_age_seconds": 1e9}, "queue_age_seconds"),
        ({"dead_letters_per_minute": -1}, "dead_letters_per_minute"),
        ({"on_threshold": "roll_back"}, "on_threshold"),
        ({"on_regression": "pray"}, "on_regression"),
        ({"tier": "gold"}, "tier"),
        ({"tenant_id": "t-ann", "tier": "vip"}, "tenant_id or tier, not both"),
        ({"limit": 5}, "limit"),
    ],
)
async def test_settings_that_make_no_sense_are_refused(
    admin: httpx.AsyncClient, settings: dict[str, Any], place: str
) -> None:
    answer = await admin.put(PATH, json={**settings, "why": "test"})
    assert answer.status_code == 422
    assert place in answer.text
    assert (await admin.get(PATH)).json()["settings"] == []


async def test_an_unknown_tenant_is_said_so(admin: httpx.AsyncClient) -> None:
    for answer in (
        await admin.get(PATH, params={"tenant_id": "nobody"}),
        await admin.put(PATH, json={"tenant_id": "nobody", "why": "test"}),
        await admin.post(f"{PATH}/unlock", json={"tenant_id": "nobody", "why": "test"}),
        await admin.get(f"{PATH}/history", params={"tenant_id": "nobody"}),
    ):
        assert error(answer) == (404, "tenant_not_found")
    assert (await admin.get(f"{PATH}/history", params={"cursor": "x"})).status_code == 422


@pytest.mark.parametrize("scope", [{"tenant_id": "t-ann"}, {"project_id": "p-ann"}])
async def test_a_locked_tenant_is_moved_only_once_it_is_unlocked(
    admin: httpx.AsyncClient, database: Database, scope: dict[str, str]
) -> None:
    await database.execute(LOCKED)
    move = {**scope, "stage": "live", "why": "again", "based_on": 0, "force": True}
    refused = await admin.put(f"{STAGES}/overrides", json=move)
    assert error(refused) == (409, "move_held")
    assert 'taskgate migration guardrails unlock --tenant t-ann --why "…"' in refused.json()["detail"]
    answer = await admin.post(f"{PATH}/unlock", json={"tenant_id": "t-ann", "why": "the handler is mended"})
    assert [one["phase"] for one in answer.json()["guardrails"]] == ["resting"]
    assert (await admin.put(f"{STAGES}/overrides", json=move)).status_code == 200
    refused = await admin.post(f"{PATH}/unlock", json={"tenant_id": "t-ann", "why": "twice"})
    assert error(refused) == (409, "guardrail_refused")


@pytest.mark.parametrize("scope", [{"tenant_id": "t-ann"}, {"project_id": "p-ann"}])
async def test_a_held_tenant_goes_forward_only_when_somebody_insists(
    admin: httpx.AsyncClient, database: Database, scope: dict[str, str]
) -> None:
    await database.execute(HELD)
    move = {**scope, "stage": "rampdown", "why": "go on", "based_on": 0}
    refused = await admin.put(f"{STAGES}/overrides", json=move)
    assert error(refused) == (409, "move_held")
    assert "the guardrail of tenant t-ann holds: backup fails" in refused.json()["detail"]
    back = await admin.put(f"{STAGES}/overrides", json={**move, "stage": "off"})
    assert back.status_code == 200
    made = await admin.put(f"{STAGES}/overrides", json={**move, "force": True, "based_on": back.json()["version"]})
    assert "backup fails; it is moved all the same" in made.json()["warnings"]


async def test_a_freeze_ends_when_a_person_has_looked(admin: httpx.AsyncClient, database: Database) -> None:
    assert error(await admin.post(f"{PATH}/unfreeze", json={"why": "nothing"})) == (409, "guardrail_refused")
    await database.execute("INSERT INTO taskgate.guardrail_freeze (why) VALUES ('9 of 20')")
    assert (await admin.get(PATH)).json()["frozen"]["why"] == "9 of 20"
    move = {"tenant_id": "t-ann", "stage": "live", "why": "go", "based_on": 0, "force": True}
    assert error(await admin.put(f"{STAGES}/overrides", json=move)) == (409, "move_held")
    assert (await admin.post(f"{PATH}/unfreeze", json={"why": "temporal is back"})).json()["frozen"] is None
    assert (await admin.put(f"{STAGES}/overrides", json=move)).status_code == 200


async def test_for_administrators_only(admin: httpx.AsyncClient, key: str) -> None:
    mine = {"Authorization": f"Bearer {key}"}
    assert (await admin.get(PATH, headers=mine)).status_code == 403
    assert (await admin.put(PATH, json={"why": "x"}, headers=mine)).status_code == 403
    assert (await admin.get(PATH, headers={"Authorization": ""})).status_code == 401


async def test_the_commands(
    run: Any, key: str, people: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", await people.add_user("root", admin=True))
    guardrails = ("migration", "guardrails")
    code, text = await run(*guardrails, "set", "--tenant", "t-ann", "--dry-run", "--why", "first week")
    assert code == 0, text
    assert text.splitlines()[0] == "tenant:t-ann: dry_run True (by root: first week)"
    await database.execute(LOCKED)
    code, text = await run(*guardrails, "show", "--json")
    assert [one["phase"] for one in json.loads(text)["guardrails"]] == ["locked"]
    code, text = await run(*guardrails, "unlock", "--tenant", "t-ann", "--why", "mended")
    assert (code, text.strip()) == (
        0,
        'unlocked; `taskgate route override clear --tenant t-ann --why "…"` moves it again',
    )
    code, text = await run(*guardrails, "history", "--tenant", "t-ann")
    assert "unlocked" in text
    assert (await run(*guardrails, "unfreeze", "--why", "x"))[0] == 2
    assert (await run(*guardrails, "set", "--tenant", "nobody", "--why", "x"))[0] == 2
    assert (await run(*guardrails, "set", "--queue-age", "0", "--why", "x"))[0] == 2
