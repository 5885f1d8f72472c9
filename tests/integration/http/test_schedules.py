"""`/gateway/v1/schedules` and `/gateway/v1/tasks/{id}/run-at`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from gateway.storage.database import Database

URL = "/gateway/v1/schedules"
HOURLY: dict[str, Any] = {
    "name": "hourly",
    "specs": [{"cron": "0 * * * *", "timezone": "Europe/Berlin"}],
    "action": {"type": "probe", "payload": {"a": 1}},
}


async def create(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post(URL, json={**HOURLY, **fields})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def test_a_life(client: httpx.AsyncClient) -> None:
    created = await create(client, action={"type": "probe", "project_id": "p-ann"})
    assert (created["tenant_id"], created["project_id"], created["user_id"]) == ("t-ann", "p-ann", "ann")
    assert (created["overlap"], created["catch_up_seconds"], created["paused"]) == ("skip", 86400, False)
    url = f"{URL}/{created['schedule_id']}"
    assert (await client.get(url)).json() == created
    assert (await client.get(URL)).json() == {"schedules": [created], "next": None}

    paused = (await client.post(f"{url}/pause", json={"note": "audit"})).json()
    assert (paused["paused"], paused["note"], paused["next_at"]) == (True, "audit", None)
    resumed = (await client.post(f"{url}/resume")).json()
    assert (resumed["paused"], resumed["note"], resumed["next_at"]) == (False, "audit", created["next_at"])

    patched = (await client.patch(url, json={"jitter_seconds": 60, "note": None, "action": {"priority": 1}})).json()
    assert (patched["jitter_seconds"], patched["note"], patched["action"]["priority"]) == (60, None, 1)
    assert (patched["action"]["project_id"], patched["specs"]) == ("p-ann", created["specs"])
    replaced = (await client.put(url, json={**HOURLY, "name": "other"})).json()
    assert (replaced["name"], replaced["jitter_seconds"], replaced["project_id"]) == ("other", 0, None)

    ran = await client.post(f"{url}/run")
    assert (ran.status_code, ran.json()["outcome"], ran.json()["kind"]) == (202, "fired", "manual")
    task = (await client.get(f"/gateway/v1/tasks/{ran.json()['task_id']}")).json()
    assert (task["task_type"], task["status"], task["tenant_id"]) == ("probe", "pending", "t-ann")
    history = (await client.get(f"{url}/history")).json()["firings"]
    assert [(firing["outcome"], firing["task_state"]) for firing in history] == [("fired", "waiting")]
    earlier = await client.get(f"{url}/history", params={"before": history[0]["nominal_at"]})
    assert earlier.json()["firings"] == []

    assert (await client.delete(url)).status_code == 204
    assert (await client.get(url)).status_code == 404
    assert (await client.get(f"/gateway/v1/tasks/{ran.json()['task_id']}")).status_code == 200


async def test_next_times(client: httpx.AsyncClient) -> None:
    spec = {"calendar": {"year": [2032], "month": 3, "day": "27-29", "hour": 2, "minute": 30}}
    created = await create(client, specs=[spec], timezone="Europe/Berlin", remaining_runs=2)
    url = f"{URL}/{created['schedule_id']}/next"
    times = (await client.get(url)).json()["times"]
    assert [time["local"] for time in times] == ["2032-03-27T02:30:00+01:00", "2032-03-28T03:00:00+02:00"]
    assert [time["nominal_at"] for time in times] == ["2032-03-27T01:30:00+00:00", "2032-03-28T01:00:00+00:00"]
    hourly = await create(client)
    assert len((await client.get(f"{URL}/{hourly['schedule_id']}/next")).json()["times"]) == 10
    assert (await client.get(url, params={"count": 101})).status_code == 422


async def test_a_repeated_request_makes_one_schedule(client: httpx.AsyncClient) -> None:
    answers = [await client.post(URL, json=HOURLY, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert len((await client.get(URL)).json()["schedules"]) == 1


async def test_a_tenant_has_only_so_many(serve: Any, key: str) -> None:
    async with serve(schedules_per_tenant=1) as (client, _):
        client.headers["Authorization"] = f"Bearer {key}"
        first = await create(client)
        answer = await client.post(URL, json=HOURLY)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:taskgate:error:too_many_schedules")
        await client.delete(f"{URL}/{first['schedule_id']}")
        await create(client)


async def test_pages(client: httpx.AsyncClient) -> None:
    names = sorted([(await create(client))["schedule_id"] for _ in range(3)])
    first = (await client.get(URL, params={"limit": 2})).json()
    second = (await client.get(URL, params={"limit": 2, "after": first["next"]})).json()
    assert [one["schedule_id"] for one in first["schedules"] + second["schedules"]] == names
    assert second["next"] is None


async def test_a_backfill_from_the_beginning_of_the_calendar(client: httpx.AsyncClient) -> None:
    west = {"cron": "0 * * * *", "timezone": "America/New_York"}
    for specs, begin in [(HOURLY["specs"], "0001-01-01T00:00:00Z"), ([west], "0001-01-01T02:00:00Z")]:
        schedule = await create(client, specs=specs)
        body = {"start_at": begin, "end_at": "0001-01-02T00:00:00Z"}
        answer = await client.post(f"{URL}/{schedule['schedule_id']}/backfill", json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith("start_at"), answer.text
    body = {"start_at": "0001-01-02T00:00:00Z", "end_at": "0001-01-02T01:00:00Z"}
    answer = await client.post(f"{URL}/{schedule['schedule_id']}/backfill", json=body)
    assert answer.status_code == 202


async def test_backfill(client: httpx.AsyncClient) -> None:
    url = f"{URL}/{(await create(client))['schedule_id']}/backfill"
    body = {"start_at": "2026-01-01T00:00:00Z", "end_at": "2026-01-01T05:00:00Z"}
    answers = [(await client.post(url, json=body)) for _ in range(2)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (202, {"times": 6, "noted": 6}),
        (202, {"times": 6, "noted": 0}),
    ]
    for wrong in ({**body, "end_at": "2025-01-01T00:00:00Z"}, {**body, "end_at": "2999-01-01T00:00:00Z"}, {}):
        assert (await client.post(url, json=wrong)).status_code == 422
    edge = {"start_at": "0001-01-01T00:00:00+23:59", "end_at": "2026-01-01T05:00:00Z"}
    assert (await client.post(url, json=edge)).status_code == 422


OUT_OF_FORM: list[dict[str, Any]] = [
    {"specs": [{"cron": "0 0 30 2 *"}]},
    {"specs": [{"cron": "\u0000"}]},
    {"specs": [{"cron": "x" * 301}]},
    {"specs": [{"every_seconds": 1e300}]},
    {"specs": [{"at": ["2020-01-01T00:00:00Z"]}]},
    {"specs": [{"at": [1e300]}]},
    {"specs": "daily"},
    {"timezone": "Berlin"},
    {"end_at": "2020-01-01T00:00:00Z"},
    {"jitter_seconds": "NaN"},
    {"action": {"type": "probe", "priority": 9}},
    {"action": {"type": ""}},
    {"unknown": 1},
    {"name": ""},
]


async def test_out_of_form(client: httpx.AsyncClient) -> None:
    url = f"{URL}/{(await create(client))['schedule_id']}"
    before = (await client.get(url)).json()
    for wrong in OUT_OF_FORM:
        answer = await client.post(URL, json={**HOURLY, **wrong})
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), wrong
        assert (await client.patch(url, json=wrong)).status_code == 422, wrong
        assert (await client.put(url, json={**HOURLY, **wrong})).status_code == 422, wrong
    assert (await client.get(url)).json() == before
    assert len((await client.get(URL)).json()["schedules"]) == 1


async def test_strangers(client: httpx.AsyncClient, people: Any) -> None:
    url = f"{URL}/{(await create(client))['schedule_id']}"
    bob = {"Authorization": f"Bearer {await people.add_key('bob')}"}
    paths = ("", "/next", "/history")
    answers = [await client.get(url + path, headers=bob) for path in paths]
    bodies = {"pause": {}, "resume": {}, "run": {}, "backfill": {"start_at": "2026-01-01T00:00:00Z"}}
    bodies["backfill"]["end_at"] = "2026-01-02T00:00:00Z"
    answers += [await client.post(f"{url}/{verb}", json=body, headers=bob) for verb, body in bodies.items()]
    answers += [await client.patch(url, json={"name": "x"}, headers=bob), await client.delete(url, headers=bob)]
    answers += [await client.put(url, json=HOURLY, headers=bob)]
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.json()["type"] for answer in answers} == {"urn:taskgate:error:schedule_not_found"}
    assert (await client.get(URL, headers=bob)).json()["schedules"] == []
    foreign = {**HOURLY, "action": {"type": "probe", "project_id": "p-bob"}}
    assert (await client.post(URL, json=foreign)).status_code == 403
    assert (await client.put(url, json=foreign)).status_code == 403


async def test_a_schedule_stays_with_its_tenant(client: httpx.AsyncClient, people: Any) -> None:
    await people.add_member("ann", "t-bob", "member")
    url = f"{URL}/{(await create(client))['schedule_id']}"
    answer = await client.put(url, json={**HOURLY, "action": {"type": "probe", "tenant_id": "t-bob"}})
    assert answer.status_code == 422


async def test_nobody_without_a_key(client: httpx.AsyncClient) -> None:
    answer = await client.post(URL, json={"specs": 1}, headers={"Authorization": "Bearer ms_sk_" + "0" * 64})
    assert answer.status_code == 401


async def submit(client: httpx.AsyncClient, **fields: Any) -> str:
    answer = await client.post("/gateway/v1/tasks", json={"type": "probe", **fields})
    return str(answer.json()["task_id"])


async def test_run_at(client: httpx.AsyncClient, task_of: Any, database: Database) -> None:
    task_id = await submit(client, delay_seconds=3600)
    moment = datetime.now(UTC) + timedelta(days=90)
    for body, expected in (
        ({"run_at": moment.isoformat()}, moment),
        ({"delay_seconds": 60}, datetime.now(UTC) + timedelta(seconds=60)),
    ):
        answer = await client.post(f"/gateway/v1/tasks/{task_id}/run-at", json=body)
        assert answer.status_code == 200
        run_at = datetime.fromisoformat(answer.json()["run_at"])
        assert abs(run_at - expected) < timedelta(seconds=30)
        row = await database.fetchrow("SELECT due_at, not_before FROM taskgate.dispatch")
        assert row is not None
        assert (row["due_at"], row["not_before"]) == (run_at, run_at)
    now = await client.post(f"/gateway/v1/tasks/{task_id}/run-at", json={"run_at": "2020-01-01T00:00:00Z"})
    assert now.status_code == 200
    assert moment - timedelta(days=90) <= (await task_of(task_id))["not_before"] <= datetime.now(UTC)


async def test_run_at_is_for_what_waits(client: httpx.AsyncClient, database: Database) -> None:
    task_id = await submit(client, delay_seconds=3600)
    for state in ("starting", "queued", "running", "completed", "failed", "stopped"):
        await database.execute("UPDATE taskgate.dispatch SET state = $1", state)
        answer = await client.post(f"/gateway/v1/tasks/{task_id}/run-at", json={"delay_seconds": 1})
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:taskgate:error:task_not_waiting")


async def test_run_at_is_not_for_what_waits_to_be_repeated(client: httpx.AsyncClient, database: Database) -> None:
    task_id = await submit(client)
    await database.execute("UPDATE taskgate.dispatch SET attempt = 1")
    assert (await client.post(f"/gateway/v1/tasks/{task_id}/run-at", json={"delay_seconds": 1})).status_code == 409


async def test_run_at_out_of_form(client: httpx.AsyncClient) -> None:
    task_id = await submit(client, delay_seconds=3600)
    both = {"delay_seconds": 1, "run_at": "2026-12-01T00:00:00Z"}
    in_ten_years = {"run_at": "2036-12-01T00:00:00Z"}
    for wrong in ({}, {"run_at": "soon"}, {"delay_seconds": -1}, both, in_ten_years, {"at": 1}):
        assert (await client.post(f"/gateway/v1/tasks/{task_id}/run-at", json=wrong)).status_code == 422


async def test_run_at_after_the_deadline(client: httpx.AsyncClient, database: Database) -> None:
    task_id = await submit(client, delay_seconds=60)
    await database.execute("UPDATE taskgate.dispatch SET expires_at = now() + interval '2 minutes'")
    assert (await client.post(f"/gateway/v1/tasks/{task_id}/run-at", json={"delay_seconds": 180})).status_code == 422
    assert (await client.post(f"/gateway/v1/tasks/{task_id}/run-at", json={"delay_seconds": 90})).status_code == 200


async def test_run_at_of_somebody_else(client: httpx.AsyncClient, people: Any) -> None:
    task_id = await submit(client, delay_seconds=60)
    bob = {"Authorization": f"Bearer {await people.add_key('bob')}"}
    answers = [
        await client.post(f"/gateway/v1/tasks/{task}/run-at", json={"delay_seconds": 1}, headers=headers)
        for task, headers in ((task_id, bob), ("none", dict(client.headers)))
    ]
    assert [answer.status_code for answer in answers] == [404, 404]


async def test_a_stopped_task_does_not_come_due(client: httpx.AsyncClient, database: Database) -> None:
    task_id = await submit(client, delay_seconds=0.2)
    assert (await client.post(f"/api/v1/tasks/{task_id}/cancel")).status_code == 200
    assert await database.fetchval("SELECT state FROM taskgate.dispatch") == "stopped"
