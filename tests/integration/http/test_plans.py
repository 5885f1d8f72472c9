"""`/gateway/v1/migration/plans` and `taskgate migration plan`: write, check, start, steer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.storage.database import Database
from workers.testing.waiting import eventually

PATH = "/gateway/v1/migration/plans"
PLAN = "name: spring\nwhy: the move\nbake: '0'\ngates: {approval: true}\nwaves: [{name: pilot, tenants: [t-ann]}]\n"
PLAN_AS_JSON = b'{"name": "spring", "why": "the move", "waves": [{"tenants": ["t-ann"]}]}'
ANSWERS = "spring\nthe move\nlive\nacme, globex\nEurope/Berlin\n"
JSON = {"Content-Type": "application/json"}
YAML = {"Content-Type": "application/yaml"}


@pytest.fixture
async def admin(serve: Any, key: str, people: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with serve({}) as (client, gateway):
        await gateway.start()
        client.headers["Authorization"] = f"Bearer {await people.add_user('root', admin=True)}"
        yield client


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:taskgate:error:")


async def until(admin: httpx.AsyncClient, state: str) -> dict[str, Any]:
    async def plan() -> dict[str, Any]:
        found: dict[str, Any] = (await admin.get(f"{PATH}/spring")).json()
        return found

    return await eventually(plan, lambda found: found["state"] == state, within=30)


async def test_a_plan_from_its_text_to_its_end_and_back(admin: httpx.AsyncClient) -> None:
    wrong = await admin.post(f"{PATH}/validate", content=PLAN.replace("t-ann", "t-nobody"), headers=YAML)
    assert wrong.json() == {
        "valid": False,
        "faults": [
            {
                "code": "unknown_tenant",
                "place": "/waves/0/tenants/0",
                "message": "there is no tenant 't-nobody'",
                "line": 5,
                "column": 33,
            }
        ],
        "notes": [],
        "waves": [],
    }
    refused = await admin.put(f"{PATH}/spring", content=PLAN.replace("t-ann", "t-nobody"), headers=YAML)
    assert error(refused) == (422, "plan_invalid")
    assert refused.json()["faults"] == wrong.json()["faults"]
    assert (await admin.post(f"{PATH}/validate", content=PLAN, headers=YAML)).json()["waves"][0]["first"] == ["t-ann"]
    assert error(await admin.get(f"{PATH}/spring")) == (404, "plan_not_found")
    assert error(await admin.put(f"{PATH}/autumn", content=PLAN, headers=YAML)) == (422, "plan_invalid")
    assert error(await admin.put(f"{PATH}/spring", content=b"\xff", headers=YAML)) == (422, "invalid_request")
    as_json = {"name": "spring", "why": "\U0001f680", "waves": [{"tenants": ["t-ann"]}]}
    assert (await admin.post(f"{PATH}/validate", content=json.dumps(as_json), headers=JSON)).json()["valid"]
    assert error(await admin.post(f"{PATH}/validate", content="{", headers=JSON)) == (422, "invalid_request")

    draft = await admin.put(f"{PATH}/spring", content=PLAN, headers=YAML)
    assert (draft.status_code, draft.json()["state"]) == (200, "draft")
    stale = await admin.put(f"{PATH}/spring", content=PLAN, headers=YAML, params={"based_on": 0})
    assert error(stale) == (409, "plan_stale")
    acts = f"{PATH}/spring/acts"
    assert error(await admin.post(acts, json={"act": "approve", "why": "w"})) == (422, "invalid_request")
    assert error(await admin.post(acts, json={"act": "approve", "why": "w", "wave": 1})) == (409, "plan_refused")
    assert error(await admin.post(acts, json={"act": "pause", "why": "w", "tenant_id": "x"})) == (
        422,
        "invalid_request",
    )
    assert (await admin.post(acts, json={"act": "start", "why": "go"})).json()["state"] == "running"
    held = await until(admin, "held")
    assert held["says"].startswith("wave 1 (pilot) waits for a person's approval")
    assert (await admin.post(acts, json={"act": "approve", "why": "w", "wave": 1})).status_code == 200
    assert error(await admin.post(acts, json={"act": "approve", "why": "w", "wave": 1})) == (409, "plan_refused")
    done = await until(admin, "done")
    assert done["waves"][0]["moved"] == 1
    assert [step["who"] for step in done["steps"]][-2:] == ["root", "root"]
    stages = (await admin.get("/gateway/v1/migration/stages")).json()
    assert stages["settings"] == [{"tenant_id": "t-ann", "project_id": None, "task_type": None, "stage": "live"}]
    assert error(await admin.put(f"{PATH}/spring", content=PLAN, headers=YAML)) == (409, "plan_refused")
    await admin.post(acts, json={"act": "rollback", "why": "back"})
    assert (await until(admin, "aborted"))["waves"][0]["back"] == 1
    assert (await admin.get("/gateway/v1/migration/stages")).json()["settings"] == []
    assert [one["name"] for one in (await admin.get(PATH)).json()["plans"]] == ["spring"]
    verified = (await admin.get("/gateway/v1/migration/ledger/verification")).json()
    assert verified["breaks"] == []


GATED = PLAN.replace("{approval: true}", "{parity: {}}")


async def test_a_tenant_is_counted_anew(admin: httpx.AsyncClient) -> None:
    await admin.put(f"{PATH}/spring", content=GATED, headers=YAML)
    acts = f"{PATH}/spring/acts"
    asked = {"act": "recount", "why": "the handler is mended", "tenant_id": "t-ann"}
    assert error(await admin.post(acts, json=asked)) == (409, "plan_refused")
    await admin.post(acts, json={"act": "start", "why": "go"})
    assert (await until(admin, "held"))["recounts"] == []
    for wrong in ({**asked, "why": " "}, {**asked, "tenant_id": None}, {**asked, "wave": 1}):
        assert error(await admin.post(acts, json=wrong)) == (422, "invalid_request")
    refused = await admin.post(acts, json={**asked, "tenant_id": "t-bob"})
    assert (error(refused), refused.json()["detail"]) == ((409, "plan_refused"), "t-bob is not in plan spring")
    answer = await admin.post(acts, json=asked)
    [one] = answer.json()["recounts"]
    assert (answer.status_code, one) == (
        200,
        {
            "tenant_id": "t-ann",
            "wave": 1,
            "counts_from": one["counts_from"],
            "who": "root",
            "why": "the handler is mended",
            "times": 1,
        },
    )
    recorded = (await admin.get("/gateway/v1/audit", params={"action": "plan", "limit": 200})).json()["entries"]
    assert [one["why"] for one in recorded if one["why"].startswith("recount")] == ["recount: the handler is mended"]
    assert (await admin.get("/gateway/v1/migration/ledger/verification")).json()["breaks"] == []


async def test_the_command_counts_a_tenant_anew(
    run: Any, key: str, people: Any, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKGATE_API_KEY", await people.add_user("root", admin=True))
    (file := tmp_path / "spring.yaml").write_text(GATED)
    plan = ("migration", "plan")
    assert (await run(*plan, "put", str(file)))[0] == 0
    assert (await run(*plan, "start", "spring", "--why", "go"))[0] == 0
    recount = (*plan, "recount", "spring", "--tenant", "t-ann", "--why")
    refused = await run(*recount, "mended")
    assert refused == (2, "error: t-ann has not been moved yet: nothing of it is counted\n")
    await database.execute("UPDATE taskgate.plan_tenant SET state = 'moved'")
    code, text = await run(*recount, "the handler is mended")
    assert code == 0, text
    last = text.splitlines()[-1]
    assert last.startswith("t-ann is counted from 20")
    assert last.endswith("Z on, by root: the handler is mended")
    assert last in (await run(*plan, "show", "spring"))[1]
    monkeypatch.setenv("TASKGATE_API_KEY", key)
    assert (await run(*recount, "I am ann"))[0] != 0


async def test_plans_are_for_administrators(admin: httpx.AsyncClient, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    for method, path in (
        ("GET", ""),
        ("GET", "/spring"),
        ("PUT", "/spring"),
        ("POST", "/validate"),
        ("GET", "/schema"),
    ):
        assert (await admin.request(method, f"{PATH}{path}", headers=headers)).status_code == 403


def test_a_new_plan_asks_for_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cli = CliRunner()
    asked = cli.invoke(
        app,
        ["migration", "plan", "new", "--template", "night"],
        input=ANSWERS,
    )
    assert asked.exit_code == 0, asked.output
    text = (tmp_path / "spring.yaml").read_text()
    assert "zone: Europe/Berlin" in text
    assert "from: '22:00'" in text
    given = ["--name", "spring", "--why", "w", "--stage", "live", "--tenants", "acme", "--json"]
    again = cli.invoke(app, ["migration", "plan", "new", "--template", "tiers", *given])
    assert (again.exit_code, again.output) == (1, "error: spring.yaml: File exists; write another name with --out\n")
    tiers = cli.invoke(app, ["migration", "plan", "new", "--template", "tiers", *given, "--out", "b.yaml"])
    assert json.loads(tiers.output)["file"] == "b.yaml"
    nobody = cli.invoke(app, ["migration", "plan", "new", "--template", "pilot", *given[:6], "--tenants", ""])
    assert nobody.exit_code == 2
    assert "/waves" in nobody.output


@pytest.mark.parametrize(
    ("body", "headers", "validated"),
    [
        (b"name: " + b"x" * 1_000_001, YAML, 422),
        (b'{"a": [' + b"1e15," * 190_000 + b"1]}", JSON, 200),  # longer as it is written anew
        (b"[" * 500 + b"]" * 500, JSON, 200),
        (PLAN_AS_JSON[:-1] + b', "waves": []}', JSON, 200),
    ],
    ids=["large", "growing", "nested", "given twice"],
)
async def test_documents_out_of_bounds(
    admin: httpx.AsyncClient, body: bytes, headers: dict[str, str], validated: int
) -> None:
    answer = await admin.post(f"{PATH}/validate", content=body, headers=headers)
    assert (answer.status_code, answer.json().get("valid", False)) == (validated, False)
    assert (await admin.post(f"{PATH}/dry-run", content=body, headers=headers)).status_code == 422
