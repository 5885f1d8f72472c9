"""`/gateway/v1/migration/guardrails` and `taskgate migration guardrails`: set, show, unlock, unfreeze, history."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.migration.guardrails.places import AUTHOR
from gateway.routing.flag_edit import new_flag, with_stage
from gateway.routing.overrides import set_override
from gateway.routing.query import Scope
from gateway.routing.stages import Stage
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
    assert error(refused) == (409, "move_locked")
    assert 'taskgate migration guardrails unlock --tenant t-ann --why "…"' in refused.json()["detail"]
    assert "force" not in refused.json()["detail"]
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
    assert "--force" in refused.json()["detail"]
    back = await admin.put(f"{STAGES}/overrides", json={**move, "stage": "off"})
    assert back.status_code == 200
    made = await admin.put(f"{STAGES}/overrides", json={**move, "force": True, "based_on": back.json()["version"]})
    assert "backup fails; it is moved all the same" in made.json()["warnings"]


async def test_a_freeze_ends_when_a_person_has_looked(admin: httpx.AsyncClient, database: Database) -> None:
    assert error(await admin.post(f"{PATH}/unfreeze", json={"why": "nothing"})) == (409, "guardrail_refused")
    await database.execute("INSERT INTO taskgate.guardrail_freeze (why) VALUES ('9 of 20')")
    assert (await admin.get(PATH)).json()["frozen"]["why"] == "9 of 20"
    move = {"tenant_id": "t-ann", "stage": "live", "why": "go", "based_on": 0, "force": True}
    refused = await admin.put(f"{STAGES}/overrides", json=move)
    assert error(refused) == (409, "move_locked")
    assert 'look, then taskgate migration guardrails unfreeze --why "…"' in refused.json()["detail"]
    assert (await admin.post(f"{PATH}/unfreeze", json={"why": "temporal is back"})).json()["frozen"] is None
    assert (await admin.put(f"{STAGES}/overrides", json=move)).status_code == 200


@pytest.mark.parametrize("why", ["locked", "frozen"])
async def test_an_override_of_a_person_is_no_way_around_a_lock_or_a_freeze(
    admin: httpx.AsyncClient, database: Database, why: str
) -> None:
    """The flag has the tenant on Temporal; a person may always keep it on Redis, but not have that end by itself."""
    overrides, whose = f"{STAGES}/overrides", {"tenant_id": "t-ann", "why": "errors"}
    await admin.put(STAGES, json={**whose, "stage": "live", "based_on": 0})
    await database.execute(
        LOCKED if why == "locked" else "INSERT INTO taskgate.guardrail_freeze (why) VALUES ('9 of 20')"
    )
    back = await admin.put(overrides, json={**whose, "stage": "off", "based_on": 0})
    assert back.status_code == 200, back.text
    based_on = back.json()["version"]
    refused = await admin.put(overrides, json={**whose, "stage": "shadow", "minutes": 60, "based_on": based_on})
    assert error(refused) == (409, "move_locked")
    refused = await admin.delete(overrides, params={**whose, "based_on": based_on})
    assert error(refused) == (409, "move_locked")
    again = await admin.put(overrides, json={**whose, "stage": "shadow", "based_on": based_on})
    assert again.status_code == 200
    [row] = (await admin.get(STAGES)).json()["overrides"]
    assert (row["stage"], row["by"], row["expires_at"]) == ("shadow", "root", None)


async def test_in_a_freeze_everybody_may_be_put_on_redis_for_a_while(
    admin: httpx.AsyncClient, database: Database
) -> None:
    await database.execute("INSERT INTO taskgate.guardrail_freeze (why) VALUES ('9 of 20')")
    everybody = {"everything": True, "stage": "off", "minutes": 60, "why": "Temporal is down", "based_on": 0}
    assert (await admin.put(f"{STAGES}/overrides", json=everybody)).status_code == 200


async def test_what_a_guardrail_took_back_does_not_go_forward_by_itself(
    admin: httpx.AsyncClient, database: Database
) -> None:
    row = await set_override(database, Scope("t-ann"), Stage.SHADOW, by=AUTHOR, why="rolled back from temporal")
    asked = {"tenant_id": "t-ann", "stage": "off", "why": "look", "based_on": row.version}
    refused = await admin.put(f"{STAGES}/overrides", json={**asked, "minutes": 60})
    assert error(refused) == (409, "stage_change_refused")
    assert refused.json()["detail"].startswith("a guardrail keeps tenant t-ann at shadow until a person clears that")
    kept = await admin.put(f"{STAGES}/overrides", json=asked)
    assert (kept.status_code, kept.json()["expires_at"]) == (200, None)


async def test_a_setting_of_the_flag_that_ends_is_a_move_too(admin: httpx.AsyncClient, database: Database) -> None:
    whose = {"tenant_id": "t-ann", "why": "x"}
    await admin.put(STAGES, json={**whose, "stage": "off", "based_on": 0})
    await admin.put(STAGES, json={"everything": True, "stage": "live", "why": "x", "based_on": 1})
    await database.execute("INSERT INTO taskgate.guardrail_freeze (why) VALUES ('9 of 20')")
    gone: dict[str, Any] = {**whose, "based_on": 2}
    assert error(await admin.delete(STAGES, params=gone)) == (409, "move_locked")
    assert error(await admin.delete(STAGES, params={**gone, "force": True})) == (409, "move_locked")
    back = await admin.put(STAGES, json={"everything": True, "stage": "shadow", "why": "x", "based_on": 2})
    assert back.status_code == 200
    assert (await admin.delete(STAGES, params={**whose, "based_on": 3})).status_code == 200


async def test_in_a_freeze_a_percentage_goes_back_only(admin: httpx.AsyncClient, database: Database) -> None:
    rollout = {"stage": "live", "percent": 50, "why": "x"}
    await admin.put(f"{STAGES}/rollout", json={**rollout, "based_on": 0})
    await database.execute("INSERT INTO taskgate.guardrail_freeze (why) VALUES ('9 of 20')")
    more = ({**rollout, "percent": 60}, {**rollout, "stage": "off", "percent": 40}, {**rollout, "unit": "task"})
    for one in more:
        answer = await admin.put(f"{STAGES}/rollout", json={**one, "based_on": 1})
        assert error(answer) == (409, "move_locked")
    fewer = await admin.put(f"{STAGES}/rollout", json={**rollout, "percent": 10, "based_on": 1})
    assert fewer.json()["after"] == "off 90 %, live 10 % by tenant"


async def test_an_import_is_no_way_around_a_lock(admin: httpx.AsyncClient, database: Database) -> None:
    await database.execute(LOCKED)
    flag = with_stage(new_flag("task-backend"), Scope("t-bob"), Stage.LIVE)
    document = {"flags": {"task-backend": flag}}
    asked = {"why": "another flag", "based_on": 0, "force": True}
    moved = {"flags": {"task-backend": with_stage(flag, Scope("t-ann"), Stage.LIVE)}}
    assert error(await admin.put(f"{STAGES}/document", json={**asked, "document": moved})) == (409, "move_locked")
    assert (await admin.put(f"{STAGES}/document", json={**asked, "document": document})).status_code == 200
    assert (await admin.put(f"{STAGES}/document", json={**asked, "document": document, "based_on": 1})).is_success


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
