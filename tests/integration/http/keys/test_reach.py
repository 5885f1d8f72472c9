"""What a key is good for: its scope, its tenant, its project."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

KEYS = "/gateway/v1/keys"
TASKS = "/gateway/v1/tasks"
SCHEDULES = "/gateway/v1/schedules"


SCOPES = {
    "read": {("GET", TASKS): True, ("POST", TASKS): False, ("POST", "/gateway/v1/operations"): False},
    "submit": {("GET", TASKS): True, ("POST", TASKS): True, ("POST", "/gateway/v1/operations"): False},
    "operate": {("POST", TASKS): True, ("POST", "/gateway/v1/operations"): True, ("GET", KEYS): False},
    "admin": {("POST", TASKS): True, ("GET", KEYS): True},
}
BODIES = {
    TASKS: {"type": "probe"},
    "/gateway/v1/operations": {"action": "cancel", "filter": {"tenant_id": "t-ann"}, "dry_run": True},
}


@pytest.mark.parametrize("scope", SCOPES)
async def test_scopes(client: httpx.AsyncClient, scope: str, make: Any, bearer: Any) -> None:
    headers = bearer((await make(client, scope=scope))["key"])
    for (method, path), is_allowed in SCOPES[scope].items():
        body = BODIES.get(path) if method == "POST" else None
        answer = await client.request(method, path, json=body, headers=headers)
        assert (answer.status_code != 403) == is_allowed, (method, path, answer.text)
        assert answer.status_code < 500


async def test_a_scope_holds_on_legacy_endpoints(client: httpx.AsyncClient, make: Any, bearer: Any) -> None:
    made = await make(client, scope="read")
    answer = await client.post("/api/v1/episodes/", json={"content": "x"}, headers=bearer(made["key"]))
    assert (answer.status_code, answer.json()) == (403, {"detail": "This key has scope read; submit is needed"})


async def test_a_key_for_one_tenant(
    client: httpx.AsyncClient, people: Any, admin: dict[str, str], make: Any, bearer: Any
) -> None:
    await people.add_member("ann", "t-bob", "owner")
    ann = await make(client)
    headers = bearer(ann["key"])
    assert (await client.post(TASKS, json={"type": "probe", "tenant_id": "t-bob"}, headers=headers)).status_code == 403
    assert (await client.post(TASKS, json={"type": "probe", "project_id": "p-bob"}, headers=headers)).status_code == 403
    task = await client.post(TASKS, json={"type": "probe", "tenant_id": "t-bob"})
    assert task.status_code == 202
    assert (await client.get(f"{TASKS}/{task.json()['task_id']}", headers=headers)).status_code == 404
    tenants = (await client.get("/gateway/v1/tenants", headers=headers)).json()["tenants"]
    assert [one["tenant_id"] for one in tenants] == ["t-ann"]

    # An administrator's is that tenant's owner, and no administrator.
    root = bearer((await make(client, admin, scope="admin"))["key"])
    assert (await client.post(TASKS, json={"type": "probe"}, headers=root)).status_code == 202
    assert (await client.get("/gateway/v1/workers", headers=root)).status_code == 403
    assert (await client.get(f"{TASKS}/{task.json()['task_id']}", headers=root)).status_code == 404
    assert (await client.get("/gateway/v1/tenants/t-bob/quotas", headers=root)).status_code == 404


async def test_a_key_for_one_project(client: httpx.AsyncClient, people: Any, make: Any, bearer: Any) -> None:
    await people.add_project("p-other", "t-ann", "ann")
    made = await make(client, scope="operate", project_id="p-ann")
    headers = bearer(made["key"])
    inside = await client.post(TASKS, json={"type": "probe", "project_id": "p-ann"}, headers=headers)
    assert inside.status_code == 202
    for place in ({}, {"project_id": "p-other"}, {"tenant_id": "t-ann"}):
        assert (await client.post(TASKS, json={"type": "probe", **place}, headers=headers)).status_code == 403
    other = (await client.post(TASKS, json={"type": "probe", "project_id": "p-other"})).json()["task_id"]
    for path in (f"{TASKS}/{other}", f"/api/v1/tasks/{other}"):
        assert (await client.get(path, headers=headers)).status_code == 404
    assert (await client.get(f"{TASKS}/{inside.json()['task_id']}", headers=headers)).status_code == 200
    assert (await client.post(f"/api/v1/tasks/{other}/stop", headers=headers)).status_code == 404
    # What spans the tenant is refused, not answered in part.
    for path in (TASKS, "/api/v1/tasks/", "/api/v1/tasks/stats", "/gateway/v1/schedules", "/gateway/v1/dead-letters"):
        assert (await client.get(path, headers=headers)).status_code == 403, path


@pytest.fixture
def scheduled(client: httpx.AsyncClient) -> Any:
    """Makes a schedule with a key, and fires it: both answers."""

    async def schedule(headers: dict[str, str], **action: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        body = {"name": "n", "specs": [{"cron": "0 * * * *"}], "action": action}
        made = await client.post(SCHEDULES, json=body, headers=headers)
        assert made.status_code == 201, made.text
        ran = await client.post(f"{SCHEDULES}/{made.json()['schedule_id']}/run", headers=headers)
        return made.json(), ran.json()

    return schedule


async def test_a_schedule_stays_where_the_key_of_its_author_is_for(
    client: httpx.AsyncClient,
    people: Any,
    admin: dict[str, str],
    make: Any,
    bearer: Any,
    task_of: Any,
    scheduled: Any,
) -> None:
    """Firings have the rights of the user, who may have more than the key had, and another tenant of its own."""
    await people.add_member("root", "t-ann", "owner")
    await people.add_member("ann", "t-bob", "owner")
    root = bearer((await make(client, admin, scope="operate"))["key"])
    anns = bearer((await make(client, scope="operate", tenant_id="t-bob"))["key"])
    action = {"type": "deduplicate_entities"}
    for headers, tenant in ((root, "t-ann"), (anns, "t-bob")):
        made, ran = await scheduled(headers, **action)
        assert (made["tenant_id"], made["action"]["tenant_id"]) == (tenant, tenant)
        assert (ran["outcome"], ran["reason"]) == ("fired", None)
        payload = (await task_of(ran["task_id"]))["payload"]
        assert (payload["group_id"], payload["tenant_id"]) == (tenant, tenant)
        assert set(payload["group_ids"]) == {tenant, tenant.replace("t-", "p-")}

    # Also with a group of the tenant, and when the action is another later.
    made, ran = await scheduled(anns, type="probe", group_id="t-bob")
    assert (ran["outcome"], made["action"]["tenant_id"]) == ("fired", "t-bob")
    url = f"{SCHEDULES}/{made['schedule_id']}"
    replaced = await client.put(
        url, json={**{name: made[name] for name in ("name", "specs")}, "action": action}, headers=anns
    )
    assert replaced.json()["action"]["tenant_id"] == "t-bob"
    patched = await client.patch(url, json={"action": {"tenant_id": None, "priority": 1}}, headers=anns)
    assert patched.json()["action"]["tenant_id"] == "t-bob"
    again = (await client.post(f"{url}/run", json={"overlap": "allow_all"}, headers=anns)).json()
    assert (again["outcome"], (await task_of(again["task_id"]))["tenant_id"]) == ("fired", "t-bob")

    # A key for all that the user may do leaves the action as it is.
    made, ran = await scheduled(admin, **action)
    assert (made["action"]["tenant_id"], ran["outcome"]) == (None, "fired")
    assert (await task_of(ran["task_id"]))["payload"]["group_id"] == "global"


async def test_the_same_idempotency_key_with_keys_for_two_tenants(
    client: httpx.AsyncClient, people: Any, database: Any, make: Any, bearer: Any
) -> None:
    await people.add_member("ann", "t-bob", "owner")
    scopes = ({"tenant_id": "t-ann"}, {"tenant_id": "t-bob"}, {"tenant_id": "t-bob", "project_id": "p-bob"})
    keys = [bearer((await make(client, **scope))["key"]) for scope in scopes]
    requests: list[tuple[str, dict[str, Any]]] = [
        (TASKS, {"type": "probe"}),
        (f"{TASKS}/batch", {"tasks": [{"type": "probe"}]}),
        ("/api/v1/episodes/", {"content": "x"}),
    ]
    for path, body in requests:
        await database.execute("DELETE FROM taskgate.dispatch")
        for headers in keys[:2]:
            for replayed in (None, "true"):
                answer = await client.post(path, json=body, headers={**headers, "Idempotency-Key": path})
                assert (answer.status_code, answer.headers.get("Idempotency-Replayed")) == (202, replayed), path
        rows = await database.fetch("SELECT tenant_id FROM taskgate.dispatch ORDER BY tenant_id")
        assert [row["tenant_id"] for row in rows] == ["t-ann", "t-bob"], path

    asked = {"type": "probe", "project_id": "p-bob"}
    without: dict[str, str] = {}
    answers = [
        await client.post(TASKS, json=asked, headers={**headers, "Idempotency-Key": "p"})
        for headers in (keys[1], keys[2], without)
    ]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.json()["task_id"] for answer in answers}) == 3
    # A key without a scope is remembered by its user alone, as ever.
    assert await database.fetchval("SELECT count(*) FROM taskgate.idempotency WHERE key = 'p' AND user_id = 'ann'") == 1


async def test_a_unique_key_of_a_task_that_the_key_is_not_for(
    client: httpx.AsyncClient, people: Any, database: Any, make: Any, bearer: Any
) -> None:
    await people.add_project("p-other", "t-ann", "ann")
    headers = bearer((await make(client, scope="operate", project_id="p-ann"))["key"])
    mine = {"type": "probe", "unique_key": "rebuild", "project_id": "p-ann"}
    own = (await client.post(TASKS, json=mine, headers=headers)).json()["task_id"]
    assert (await client.post(TASKS, json=mine, headers=headers)).json()["task_id"] == own
    assert (await client.post(f"/api/v1/tasks/{own}/stop", headers=headers)).status_code == 200
    theirs = {"type": "probe", "unique_key": "rebuild", "project_id": "p-other"}
    holder = (await client.post(TASKS, json=theirs)).json()["task_id"]

    answers = []
    for way in ("refuse", "return"):
        asked = {**mine, "on_conflict": way}
        answers.append(await client.post(TASKS, json=asked, headers=headers))
        answers.append(await client.post(f"{TASKS}/batch", json={"tasks": [asked]}, headers=headers))
    answers.append(await client.post(f"/api/v1/tasks/{own}/retry", headers=headers))
    for answer in answers:
        assert (answer.status_code, holder in answer.text) == (409, False), answer.text
        assert "An active task has this unique_key." in answer.json()["detail"]
    each = {"mode": "each", "tasks": [{**mine, "on_conflict": "return"}]}
    answer = await client.post(f"{TASKS}/batch", json=each, headers=headers)
    assert (answer.json()["refused"], holder in answer.text) == (1, False)
    schedule = {"name": "n", "specs": [{"cron": "0 * * * *"}], "action": mine}
    made = (await client.post("/gateway/v1/schedules", json=schedule, headers=headers)).json()
    ran = await client.post(f"/gateway/v1/schedules/{made['schedule_id']}/run", headers=headers)
    history = await client.get(f"/gateway/v1/schedules/{made['schedule_id']}/history", headers=headers)
    assert (ran.json()["outcome"], holder in ran.text + history.text) == ("refused", False), ran.text
    # Whoever may see the task is told which one it is.
    assert (await client.post(TASKS, json=mine)).json()["task_id"] == holder
    assert await database.fetchval("SELECT count(*) FROM taskgate.dispatch") == 2


async def test_a_unique_key_twice_in_a_batch_of_a_caller_who_sees_no_tenant(
    client: httpx.AsyncClient, people: Any, bearer: Any
) -> None:
    """Its own tasks are told to it, though tasks without a tenant are seen by administrators only."""
    headers = bearer(await people.add_user("alone"))
    task = {"type": "probe", "unique_key": "k", "on_conflict": "return"}
    answer = await client.post(f"{TASKS}/batch", json={"tasks": [task, task]}, headers=headers)
    assert answer.status_code == 202, answer.text
    assert (answer.json()["accepted"], answer.json()["active"]) == (1, 1)
