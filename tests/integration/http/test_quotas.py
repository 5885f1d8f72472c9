"""Quotas over HTTP: what is refused, with which answer, and that nothing is ever dropped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.bootstrap import Gateway
from gateway.storage.database import Database

TASKS = "/gateway/v1/tasks"
QUOTAS = "/gateway/v1/tenants/t-ann/quotas"


@pytest.fixture
async def served(serve: Any, key: str) -> AsyncIterator[tuple[httpx.AsyncClient, Gateway]]:
    async with serve() as (client, gateway):
        client.headers["Authorization"] = f"Bearer {key}"
        yield client, gateway


async def put(client: httpx.AsyncClient, admin: dict[str, str], path: str = QUOTAS, **limits: Any) -> dict[str, Any]:
    answer = await client.put(path, json={**limits, "why": "test"}, headers=admin)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["quotas"][0])


async def submit(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post(TASKS, json={"type": "probe", **fields})


def refusal(answer: httpx.Response) -> tuple[Any, ...]:
    assert answer.status_code == 429, answer.text
    assert int(answer.headers["retry-after"]) >= 1
    body = answer.json()
    assert body["type"] == "urn:taskgate:error:quota_exceeded"
    return body["quota"], body["limit"], body["project_id"]


async def test_a_full_queue_is_refused_and_nothing_is_dropped(
    served: Any, admin: dict[str, str], database: Database
) -> None:
    client, _ = served
    for _ in range(3):
        assert (await submit(client)).status_code == 202
    shown = await put(client, admin, queued=2)
    assert shown["used"]["queued"] == 3
    assert refusal(await submit(client)) == ("queued", 2, None)
    assert await database.fetchval("SELECT count(*) FROM taskgate.dispatch") == 3
    await put(client, admin, queued=5)
    assert refusal(await client.post(f"{TASKS}/batch", json={"tasks": [{"type": "probe"}] * 3})) == ("queued", 5, None)
    answer = await client.post(f"{TASKS}/batch", json={"tasks": [{"type": "probe"}] * 2})
    assert answer.status_code == 202
    assert await database.fetchval("SELECT count(*) FROM taskgate.dispatch") == 5
    assert (await client.delete(QUOTAS, headers=admin)).status_code == 204
    assert (await submit(client)).status_code == 202


async def test_of_a_batch_each_those_that_fit_are_accepted(
    served: Any, admin: dict[str, str], database: Database
) -> None:
    client, _ = served
    await put(client, admin, queued=5, bytes_per_day=1000)
    await put(client, admin, f"{QUOTAS}?project_id=p-ann", per_minute=2)
    small, large = {"type": "probe"}, {"type": "probe", "payload": {"text": "x" * 2000}}
    project = {**small, "project_id": "p-ann"}
    body = {"mode": "each", "tasks": [project, large, project, {"type": "a b"}, project, small, small, small, small]}
    headers = {"Idempotency-Key": "some fit"}
    first, second = [await client.post(f"{TASKS}/batch", json=body, headers=headers) for _ in range(2)]
    assert first.status_code == 202
    assert first.json() == second.json()
    assert (first.json()["accepted"], first.json()["refused"]) == (5, 4)
    found = [(item["status"], item.get("error", {}).get("quota")) for item in first.json()["tasks"]]
    assert found == [
        ("pending", None),
        ("refused", "bytes_per_day"),
        ("pending", None),
        ("refused", None),
        ("refused", "per_minute"),
        *[("pending", None)] * 3,
        ("refused", "queued"),
    ]
    refused = first.json()["tasks"][4]["error"]
    assert (refused["status"], refused["limit"], refused["project_id"]) == (429, 2, "p-ann")
    assert refused["retry_after"] >= 1
    assert await database.fetchval("SELECT count(*) FROM taskgate.dispatch") == 5
    charged = await database.fetch("SELECT minute_tasks FROM taskgate.quota ORDER BY project_id")
    assert [row["minute_tasks"] for row in charged] == [5, 2]
    assert refusal(await client.post(f"{TASKS}/batch", json={"tasks": [small]})) == ("queued", 5, None)


async def test_of_a_batch_each_no_task_is_active_that_was_refused(
    served: Any, admin: dict[str, str], database: Database
) -> None:
    client, _ = served
    await put(client, admin, queued=0)
    tasks = [{"type": "probe", "unique_key": "k"}, {"type": "probe", "unique_key": "k", "on_conflict": "return"}]
    answers = [
        await client.post(
            f"{TASKS}/batch", json={"mode": "each", "tasks": tasks}, headers={"Idempotency-Key": "none fits"}
        )
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    found = [(item["status"], item["error"]["quota"]) for item in answers[0].json()["tasks"]]
    assert found == [("refused", "queued")] * 2
    assert await database.fetchval("SELECT count(*) FROM taskgate.dispatch") == 0


@pytest.mark.parametrize("way", ["refuse", "return"])
async def test_of_a_batch_each_the_first_that_fits_has_the_unique_key(
    served: Any, admin: dict[str, str], way: str, database: Database
) -> None:
    client, _ = served
    await put(client, admin, bytes_per_day=1000, queued=2)
    await put(client, admin, f"{QUOTAS}?project_id=p-ann", queued=0)
    key = {"type": "probe", "unique_key": "k", "on_conflict": way}
    large, project = {**key, "payload": {"text": "x" * 2000}}, {**key, "project_id": "p-ann"}
    body = {"mode": "each", "tasks": [large, project, key, large, project, key, {"type": "probe"}]}
    items = (await client.post(f"{TASKS}/batch", json=body)).json()["tasks"]
    assert [item.get("error", {}).get("quota") for item in items[:2]] == ["bytes_per_day", "queued"]
    assert [items[2]["status"], items[6]["status"]] == ["pending"] * 2
    for item in items[3:6]:
        named = item if way == "return" else item["error"]
        assert (item["status"], named["task_id"]) == ("active" if way == "return" else "refused", items[2]["task_id"])
    assert await database.fetchval("SELECT sum(minute_tasks) FROM taskgate.quota") == 2


async def test_of_a_batch_each_a_task_without_a_quota_has_the_unique_key(served: Any, admin: dict[str, str]) -> None:
    client, _ = served
    await put(client, admin, f"{QUOTAS}?project_id=p-ann", per_minute=1)
    key = {"type": "probe", "unique_key": "k", "on_conflict": "return"}
    project = {**key, "project_id": "p-ann"}
    body = {"mode": "each", "tasks": [{"type": "probe", "project_id": "p-ann"}, project, key, project]}
    items = (await client.post(f"{TASKS}/batch", json=body)).json()["tasks"]
    assert [item["status"] for item in items] == ["pending", "refused", "pending", "active"]
    assert items[3]["task_id"] == items[2]["task_id"]
    assert (await submit(client, project_id="p-ann")).status_code == 429


async def test_together_they_never_exceed_a_quota(served: Any, admin: dict[str, str]) -> None:
    client, _ = served
    await put(client, admin, queued=7)
    answers = await asyncio.gather(*(submit(client) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [202] * 7 + [429] * 13


async def test_rate_and_bytes(served: Any, admin: dict[str, str], database: Database) -> None:
    client, _ = served
    await put(client, admin, per_minute=2)
    for _ in range(2):
        assert (await submit(client)).status_code == 202
    assert refusal(await submit(client)) == ("per_minute", 2, None)
    # An hour later.
    await database.execute("UPDATE taskgate.quota SET minute_at = minute_at - interval '1 hour'")
    assert (await submit(client)).status_code == 202
    shown = await put(client, admin, bytes_per_day=1000)
    assert refusal(await submit(client, payload={"text": "x" * 1000})) == ("bytes_per_day", 1000, None)
    assert (await submit(client, payload={"text": "x"})).status_code == 202
    shown = (await client.get(QUOTAS)).json()["quotas"][0]
    assert 0 < shown["used"]["bytes_per_day"] < 1000
    await database.execute("UPDATE taskgate.quota SET day = day - 1, day_bytes = 999")
    assert (await submit(client, payload={"text": "x"})).status_code == 202


async def test_a_replay_and_a_refused_request_cost_nothing(served: Any, admin: dict[str, str]) -> None:
    client, _ = served
    await put(client, admin, per_minute=2)
    first = await client.post(TASKS, json={"type": "probe", "unique_key": "k"}, headers={"Idempotency-Key": "1"})
    again = await client.post(TASKS, json={"type": "probe", "unique_key": "k"}, headers={"Idempotency-Key": "1"})
    assert first.json() == again.json()
    assert (await submit(client, unique_key="k")).status_code == 409
    assert (await submit(client)).status_code == 202
    assert (await submit(client)).status_code == 429


async def test_a_project_has_a_quota_of_its_own(served: Any, admin: dict[str, str]) -> None:
    client, _ = served
    shown = await put(client, admin, f"{QUOTAS}?project_id=p-ann", queued=1)
    assert shown["project_id"] == "p-ann"
    assert (await submit(client, project_id="p-ann")).status_code == 202
    assert refusal(await submit(client, project_id="p-ann")) == ("queued", 1, "p-ann")
    assert (await submit(client)).status_code == 202


async def test_legacy_endpoints_say_it_in_their_own_way(served: Any, admin: dict[str, str]) -> None:
    client, _ = served
    await put(client, admin, queued=0)
    answer = await client.post("/api/v1/episodes/", json={"content": "x", "project_id": "p-ann"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json() == {"detail": "The quota queued of the tenant, 0, is less than what was submitted at once."}


async def test_who_may_do_what(served: Any, admin: dict[str, str], bob: dict[str, str], database: Database) -> None:
    client, _ = served
    assert (await client.put(QUOTAS, json={"queued": 1})).status_code == 403
    assert (await client.delete(QUOTAS)).status_code == 403
    assert (await client.get(QUOTAS, headers=bob)).status_code == 404
    assert (await client.get("/gateway/v1/tenants/t-ann", headers=bob)).status_code == 404
    assert (await client.put("/gateway/v1/tenants/nobody/quotas", json={"queued": 1}, headers=admin)).status_code == 404
    assert (await client.delete(QUOTAS, headers=admin)).status_code == 404
    for bad in ({}, {"queued": -1}, {"queued": "many"}, {"queued": 2**60}, {"other": 1}, {"running": 1.5}):
        assert (await client.put(QUOTAS, json=bad, headers=admin)).status_code == 422, bad
    for project in ("p-bob", "nothing"):
        answer = await client.put(f"{QUOTAS}?project_id={project}", json={"queued": 1}, headers=admin)
        assert answer.status_code == 422
    await put(client, admin, queued=1)
    for method in ("PUT", "DELETE"):
        body = {"json": {"queued": 9}} if method == "PUT" else {}
        answer = await client.request(method, f"{QUOTAS}?project_id=", headers=admin, **body)
        assert answer.status_code == 422, answer.text
    assert await database.fetchval("SELECT queued FROM taskgate.quota") == 1
    audit = await database.fetchrow("SELECT who, scope, why FROM taskgate.ledger WHERE kind = 'quota.set'")
    assert tuple(audit or ()) == ("root", "tenant:t-ann", "test")


async def test_tenants_are_listed_and_changed(served: Any, admin: dict[str, str], database: Database) -> None:
    client, gateway = served
    mine = (await client.get("/gateway/v1/tenants")).json()["tenants"]
    assert [(one["tenant_id"], one["tier"], one["stage"]) for one in mine] == [("t-ann", "enterprise", "off")]
    page = (await client.get("/gateway/v1/tenants?limit=1", headers=admin)).json()
    assert (page["tenants"][0]["tenant_id"], page["next"]) == ("t-ann", "t-ann")
    url = "/gateway/v1/tenants/t-ann"
    assert (await client.put(url, json={"tier": "vip"})).status_code == 403
    for bad in ({}, {"tier": "gold"}, {"weight": 0}, {"weight": 1e9}, {"plan": "vip"}):
        assert (await client.put(url, json=bad, headers=admin)).status_code == 422, bad
    answer = await client.put(url, json={"tier": "vip", "weight": 2.5, "why": "contract"}, headers=admin)
    assert (answer.json()["tier"], answer.json()["weight"]) == ("vip", 2.5)
    assert await database.fetchval("SELECT plan FROM tenants WHERE id = 't-ann'") == "vip"
    assert gateway.task_limits.weight_of("t-ann") == 2.5
    await submit(client)
    shown = (await client.get(url)).json()
    assert shown["tasks"] == {"waiting": 1, "starting": 0, "queued": 0, "running": 0}


async def test_pauses_over_http(served: Any, admin: dict[str, str], bob: dict[str, str]) -> None:
    client, _ = served
    url = "/gateway/v1/pauses"
    assert (await client.post(url, json={"tenant_id": "t-ann", "why": "x"})).status_code == 403
    for bad in ({"why": "x"}, {"tenant_id": "t-ann"}, {"tenant_id": "t-ann", "why": ""}, {"x": 1, "why": "x"}):
        assert (await client.post(url, json=bad, headers=admin)).status_code == 422, bad
    assert (await client.post(url, json={"tenant_id": "nobody", "why": "x"}, headers=admin)).status_code == 404
    answer = await client.post(url, json={"tenant_id": "t-ann", "why": "upgrade"}, headers=admin)
    assert answer.status_code == 201
    again = await client.post(url, json={"tenant_id": "t-ann", "why": "again"}, headers=admin)
    assert (again.status_code, again.json()) == (200, answer.json())
    assert [one["why"] for one in (await client.get(url)).json()["pauses"]] == ["upgrade"]
    assert (await client.get(url, headers=bob)).json() == {"pauses": []}
    assert (await client.get("/gateway/v1/tenants/t-ann")).json()["pauses"] == [answer.json()]
    one = f"{url}/{answer.json()['pause_id']}"
    assert (await client.delete(one)).status_code == 403
    assert (await client.delete(one, headers=admin)).status_code == 204
    assert (await client.delete(one, headers=admin)).status_code == 404


async def test_a_pause_of_a_project_is_its_tenants(served: Any, admin: dict[str, str], bob: dict[str, str]) -> None:
    """Also when the pause names no tenant: its reason and author are nobody else's business."""
    client, _ = served
    url = "/gateway/v1/pauses"

    async def seen(where: str, headers: dict[str, str] | None = None) -> list[str]:
        return [pause["why"] for pause in (await client.get(where, headers=headers)).json()["pauses"]]

    for scope in ({"project_id": "p-bob"}, {"project_id": "p-ann"}, {"task_type": "probe"}):
        why = next(iter(scope.values()))
        assert (await client.post(url, json={**scope, "why": why}, headers=admin)).status_code == 201

    assert await seen("/gateway/v1/tenants/t-ann") == await seen(url) == ["p-ann", "probe"]
    assert await seen("/gateway/v1/tenants/t-bob", bob) == await seen(url, bob) == ["p-bob", "probe"]
    assert await seen("/gateway/v1/tenants/t-bob", admin) == ["p-bob", "probe"]
    assert await seen(url, admin) == ["p-bob", "p-ann", "probe"]


async def test_on_the_command_line(run: Any, admin: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def json_of(*words: str) -> Any:
        code, out = await run(*words, "--json")
        assert code == 0, out
        return json.loads(out)

    monkeypatch.setenv("TASKGATE_API_KEY", admin["Authorization"].removeprefix("Bearer "))
    code, out = await run("quota", "set", "--tenant", "t-ann", "--queued", "10", "--running", "2", "--why", "trial")
    assert (code, "0 of 10" in out) == (0, True), out
    assert "0 of 2" in (await run("quota", "show", "--tenant", "t-ann"))[1]
    _, quota = await json_of("quota", "set", "--tenant", "t-ann", "--project", "p-ann", "--queued", "5")
    assert (quota["project_id"], quota["limits"]["queued"]) == ("p-ann", 5)
    cleared = await json_of("quota", "clear", "--tenant", "t-ann", "--project", "p-ann")
    assert cleared == {"tenant_id": "t-ann", "project_id": "p-ann"}
    assert (await run("quota", "clear", "--tenant", "t-ann"))[0] == 0
    assert (await run("quota", "clear", "--tenant", "t-ann"))[0] == 2
    code, pause_id = await run("pause", "set", "--tenant", "t-ann", "--why", "upgrade")
    assert code == 0
    assert pause_id.strip() in (await run("pause", "list"))[1]
    assert "upgrade" in (await run("tenant", "show", "--tenant", "t-ann"))[1]
    assert (await run("resume", "--tenant", "t-bob"))[0] == 2
    assert await run("resume", "--tenant", "t-ann") == (0, "resumed\n")
    paused = await json_of("pause", "set", "--tenant", "t-ann", "--why", "again")
    assert (paused["tenant_id"], paused["why"]) == ("t-ann", "again")
    assert await json_of("resume", "--tenant", "t-ann") == {"pause_id": paused["pause_id"]}
    assert (await run("tenant", "tier", "--tenant", "t-ann", "gold"))[0] == 2
    code, out = await run("tenant", "tier", "--tenant", "t-ann", "standard", "--why", "contract ended")
    assert (code, out) == (0, "t-ann: standard, weight 1\n")
    assert (await json_of("tenant", "weight", "--tenant", "t-ann", "3"))["weight"] == 3
    assert "standard" in (await run("tenant", "list"))[1]
