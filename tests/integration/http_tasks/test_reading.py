"""Reading endpoints of `/api/v1/tasks` (contract §2): fields, types, who sees what."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

FIELDS = [
    "id",
    "name",
    "status",
    "created_at",
    "started_at",
    "completed_at",
    "error",
    "worker_id",
    "retries",
    "duration",
    "entity_id",
    "entity_type",
    "progress",
    "result",
    "message",
]
READING = ["/stats", "/queue-depth", "/status-breakdown", "/recent", "/", "/some-id"]
STEERING = ["/some-id/retry", "/some-id/stop", "/some-id/cancel"]


async def test_one_task(world: Any, client: httpx.AsyncClient) -> None:
    created = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    task_id = await world.add(
        status="COMPLETED",
        created_at=created,
        started_at=created,
        completed_at=created + timedelta(seconds=0.85),
        worker_id="host-1",
        retry_count=1,
        progress=100,
        result='{"communities_count": 2,\n "text": "\\ud83d\\ude00"}',
        message="done",
        entity_id="e1",
        entity_type="episode",
    )
    answer = await client.get(f"/{task_id}")
    assert answer.status_code == 200
    assert list(answer.json()) == FIELDS
    assert answer.json() == {
        "id": task_id,
        "name": "add_episode",
        "status": "Completed",
        "created_at": "2026-01-02T03:04:05.000678Z",
        "started_at": "2026-01-02T03:04:05.000678Z",
        "completed_at": "2026-01-02T03:04:05.850678Z",
        "error": None,
        "worker_id": "host-1",
        "retries": 1,
        "duration": "850ms",
        "entity_id": "e1",
        "entity_type": "episode",
        "progress": 100,
        "result": {"communities_count": 2, "text": "\U0001f600"},
        "message": "done",
    }


async def test_a_task_that_waits(world: Any, client: httpx.AsyncClient) -> None:
    answer = (await client.get(f"/{await world.add()}")).json()
    assert (answer["status"], answer["worker_id"], answer["duration"]) == ("Pending", "-", "-")
    assert (answer["progress"], answer["result"], answer["message"]) == (0, None, None)


async def test_recent_fills_in_progress_result_and_message(world: Any, client: httpx.AsyncClient) -> None:
    """Quirk T3."""
    task_id = await world.add(status="FAILED", progress=30, result='{"a": 1}', message="half", error_message="boom")
    (task,) = (await client.get("/recent")).json()
    assert task == (await client.get(f"/{task_id}")).json()
    assert (task["progress"], task["result"], task["message"], task["error"]) == (30, {"a": 1}, "half", "boom")


async def test_recent_is_newest_first_in_pages(world: Any, client: httpx.AsyncClient) -> None:
    ids = [await world.add(age=age) for age in range(60, 0, -1)][::-1]
    assert [task["id"] for task in (await client.get("/recent")).json()] == ids[:50]
    assert [task["id"] for task in (await client.get("/recent?limit=7&offset=50")).json()] == ids[50:57]
    assert (await client.get("/recent?offset=60")).json() == []
    nothing = await client.get("/recent?limit=0")
    assert (nothing.status_code, nothing.json()) == (200, [])
    assert len((await client.get("/recent", params={"limit": 1000, "offset": 2**31 - 1})).json()) == 0


async def test_recent_has_no_largest_page(world: Any, client: httpx.AsyncClient) -> None:
    """As the legacy server answers; many pages are read for it."""
    ids = await world.add_many(2_500)
    for limit in (999, 1000, 1001, 2000, 2001, 2500, 2501, 2**63 - 1):
        answer = await client.get("/recent", params={"limit": limit})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert [task["id"] for task in answer.json()] == ids[:limit], limit
    assert [task["id"] for task in (await client.get("/recent?limit=1200&offset=700")).json()] == ids[700:1900]
    assert [task["id"] for task in (await client.get("/recent?limit=1500&status=failed")).json()] == []


async def test_recent_filters(world: Any, client: httpx.AsyncClient) -> None:
    failed = await world.add(status="FAILED", state="failed", worker_id="host-1", entity_id="e", entity_type="memory")
    await world.add(task_type="rebuild_communities")
    for query in (
        {"status": "fAiLeD"},
        {"task_type": "add_episode"},
        {"search": "HOST"},
        {"search": failed[5:15]},
        {"entity_id": "e"},
        {"entity_type": "memory"},
    ):
        assert [task["id"] for task in (await client.get("/recent", params=query)).json()] == [failed], query
    for query in ({"status": "nonsense"}, {"search": "%"}, {"search": "_"}, {"search": "'; --"}, {"task_type": "x"}):
        answer = await client.get("/recent", params=query)
        assert (answer.status_code, answer.json()) == (200, []), query
    for query in ({"status": "All Statuses", "task_type": "All Types"}, {"status": "", "search": "", "entity_id": ""}):
        assert len((await client.get("/recent", params=query)).json()) == 2


async def test_the_list(world: Any, client: httpx.AsyncClient) -> None:
    await world.add(tenant="globex")
    task_id = await world.add(status="PROCESSING", worker_id="w", progress=40, message="m", result='{"a": 1}')
    waiting = await world.add(age=600)
    answer = (await client.get("/", params={"status": "running"})).json()
    assert answer["total"] == 1
    (task,) = answer["tasks"]
    created = task.pop("created_at")
    assert datetime.fromisoformat(created) <= datetime.now(UTC)
    assert task == {
        "task_id": task_id,
        "task_type": "add_episode",
        "status": "running",
        "started_at": None,
        "completed_at": None,
        "progress": 40,
        "message": "m",
        "result": {"a": 1},
        "error": None,
    }
    answer = (await client.get("/")).json()
    assert ([task["task_id"] for task in answer["tasks"]], answer["total"]) == ([task_id, waiting], 2)
    assert (await client.get("/", params={"status": "nonsense"})).json() == {"tasks": [], "total": 0}
    assert len((await client.get("/", params={"limit": 1})).json()["tasks"]) == 1


async def test_counts(world: Any, client: httpx.AsyncClient) -> None:
    now = datetime.now(UTC)
    await world.add()
    await world.add(worker_id="w")
    await world.add(status="COMPLETED", state="completed", completed_at=now)
    await world.add(status="FAILED", state="failed", completed_at=now)
    await world.add(status="COMPLETED", state="completed", tenant="globex", completed_at=now)
    assert (await client.get("/stats")).json() == {
        "total": 4,
        "pending": 1,
        "processing": 1,
        "completed": 1,
        "failed": 1,
        "throughput_per_minute": pytest.approx(1 / 60),
        "error_rate": 25.0,
    }
    assert (await client.get("/status-breakdown")).json() == {
        "Completed": 1,
        "Processing": 1,
        "Failed": 1,
        "Pending": 1,
    }
    points = (await client.get("/queue-depth")).json()
    assert [point["depth"] for point in points] == [0] * 8 + [2]
    assert all(set(point) == {"timestamp", "depth"} and len(point["timestamp"]) == 5 for point in points)


async def test_counts_of_nothing(client: httpx.AsyncClient) -> None:
    stats = (await client.get("/stats")).json()
    assert stats["total"] == 0
    assert stats["error_rate"] == 0.0
    assert [point["depth"] for point in (await client.get("/queue-depth")).json()] == [0] * 9


async def test_tenants_do_not_see_each_other(world: Any, server: Any) -> None:
    """Quirk A1."""
    ours, theirs = await world.add(), await world.add(tenant="globex")
    async with server.client("ann") as ann, server.client("gus") as gus, server.client("root") as root:
        for client, seen, unseen in ((ann, ours, theirs), (gus, theirs, ours)):
            assert [task["id"] for task in (await client.get("/recent")).json()] == [seen]
            assert (await client.get("/stats")).json()["total"] == 1
            for method, path in (("GET", ""), ("POST", "/retry"), ("POST", "/stop"), ("POST", "/cancel")):
                foreign = await client.request(method, f"/{unseen}{path}")
                unknown = await client.request(method, f"/unknown{path}")
                assert foreign.status_code == unknown.status_code == 404
                assert foreign.json() == unknown.json() == {"detail": "Task not found"}
        assert len((await root.get("/recent")).json()) == 2
        assert (await root.get("/stats")).json()["total"] == 2
    assert (await world.row(theirs))["stopped_at"] is None


@pytest.mark.parametrize(("method", "path"), [*(("GET", p) for p in READING), *(("POST", p) for p in STEERING)])
async def test_a_key_is_needed_everywhere(server: Any, method: str, path: str) -> None:
    async with server.client(None) as client:
        answer = await client.request(method, path)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json()["detail"].startswith("Missing API key")
        answer = await client.request(method, path, headers={"Authorization": "Bearer ms_sk_" + "0" * 64})
        assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid API key"})


@pytest.mark.parametrize(
    "path",
    [
        "/recent?limit=x",
        "/recent?limit=-1",
        "/recent?offset=-1",
        "/recent?offset=2147483648",
        "/recent?limit=99999999999999999999999",
        "/?limit=0",
        "/?limit=201",
        "/recent?search=%00",
        "/recent?entity_id=%ff",
        "/nul%00",
    ],
)
async def test_bad_input(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], list)


async def test_postgresql_away(world: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with Retry-After on every endpoint, the stream included."""
    async with serve(database_pool_size=2) as server, server.client() as client:
        task_id = await world.add()
        assert (await client.get(f"/{task_id}")).status_code == 200
        await server.gateway.database.close()
        monkeypatch.setattr(server.gateway.database, "url", "postgresql://postgres@127.0.0.1:1/none")
        paths = ["/stats", "/queue-depth", "/status-breakdown", "/recent", "/", f"/{task_id}", f"/{task_id}/stream"]
        for answer in await asyncio.gather(*(client.get(path) for path in paths)):
            assert answer.status_code == 503, answer.url
            assert int(answer.headers["Retry-After"]) > 0
            assert "detail" in answer.json()


def test_every_status_is_documented(openapi_document: dict[str, Any]) -> None:
    paths = openapi_document["paths"].items()
    documented = {path: operations for path, operations in paths if path.startswith("/api/v1/tasks/")}
    assert len(documented) == 10
    for path, operations in documented.items():
        for operation in operations.values():
            assert {"200", "401", "422", "503"} <= operation["responses"].keys()
            assert ("404" in operation["responses"]) == ("{task_id}" in path and not path.endswith("/stream"))
    schema = documented["/api/v1/tasks/{task_id}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/TaskLogResponse"}
