"""`/gateway/v1/migration/preview`, the dry run of a plan, and their commands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.cli.migration_preview import preview_text

PATH, DRY_RUN = "/gateway/v1/migration/preview", "/gateway/v1/migration/plans/dry-run"
PLAN = "name: spring\nwhy: the move\nwaves: [{name: pilot, tenants: [t-ann]}, {tenants: [t-bob]}]\n"
YAML = {"Content-Type": "application/yaml"}
STAGE = {"stage": "live", "tenant_id": "t-ann"}


@pytest.fixture
async def admin(serve: Any, key: str, people: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with serve({}) as (client, gateway):
        await gateway.start()
        client.headers["Authorization"] = f"Bearer {await people.add_user('root', admin=True)}"
        yield client


async def submit(admin: httpx.AsyncClient, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    answer = await admin.post("/gateway/v1/tasks", json={"type": "backup"}, headers=headers)
    assert answer.status_code == 202


async def test_what_a_change_would_have_done(admin: httpx.AsyncClient, key: str) -> None:
    empty = await admin.post(PATH, json=STAGE)
    assert (empty.status_code, empty.json()["type"]) == (409, "urn:taskgate:error:nothing_recorded")
    await submit(admin, key)
    quota = {"per_minute": 0, "why": "a test"}
    assert (await admin.put("/gateway/v1/tenants/t-ann/quotas", json=quota)).is_success
    found = (await admin.post(PATH, json=STAGE)).json()
    exceeded = {"tenant_id": "t-ann", "project_id": None, "quota": "per_minute", "at_most": 0, "most": 1, "tasks": 1}
    assert found["quotas"] == [{**exceeded, "effect": "refused"}]
    assert (found["tasks"], found["steps"][0]["to_temporal"]) == (1, {"tasks": 1, "low": 1, "high": 1})
    text = preview_text(found)
    assert text.startswith("1 tasks from ")
    assert "tenant t-ann" in text
    assert "quota per_minute of tenant t-ann: 1 of 0, 1 tasks beyond it are refused, on whichever engine" in text
    stages = (await admin.get("/gateway/v1/migration/stages")).json()
    assert (stages["version"], stages["settings"]) == (0, [])


async def test_a_dry_run_says_faults_with_their_places_or_what_each_wave_would_do(
    admin: httpx.AsyncClient, key: str
) -> None:
    await submit(admin, key)
    waves = (await admin.post(DRY_RUN, content=PLAN, headers=YAML, params={"hours": 2})).json()
    assert [(one["title"], one["to_temporal"]["tasks"]) for one in waves["steps"]] == [
        ("wave 1 (pilot)", 1),
        ("wave 2", 0),
    ]
    wrong = await admin.post(DRY_RUN, content=PLAN.replace("t-bob", "t-nobody"), headers=YAML)
    assert (wrong.status_code, wrong.json()["type"]) == (422, "urn:taskgate:error:plan_invalid")
    assert [(one["code"], one["place"]) for one in wrong.json()["faults"]] == [("unknown_tenant", "/waves/1/tenants/0")]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"stage": "live", "tenant_id": "t-nobody"}, 404, "tenant_not_found"),
        ({"plan": "autumn"}, 404, "plan_not_found"),
        ({"document": "waves: ["}, 422, "plan_invalid"),
        ({**STAGE, "hours": 0}, 422, "invalid_request"),
        ({**STAGE, "hours": 169}, 422, "invalid_request"),
        ({"stage": "live"}, 422, "invalid_request"),
        ({"stage": "nowhere", "everything": True}, 422, "invalid_request"),
        ({**STAGE, "speed": 1}, 422, "invalid_request"),
        ({"stage": "off", "percent": 5}, 422, "preview_refused"),
    ],
)
async def test_bad_input(admin: httpx.AsyncClient, key: str, body: dict[str, Any], status: int, code: str) -> None:
    await submit(admin, key)
    answer = await admin.post(PATH, json=body)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, code)
    assert "\n" not in answer.json()["detail"]


async def test_previews_are_for_administrators(admin: httpx.AsyncClient, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    assert (await admin.post(PATH, json=STAGE, headers=headers)).status_code == 403
    assert (await admin.post(DRY_RUN, content=PLAN, headers={**headers, **YAML})).status_code == 403
