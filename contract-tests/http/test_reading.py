"""Contract §2: what is read of tasks."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote

import pytest

from contracts.people import Household
from contracts.probes import RESULT
from contracts.shapes import DETAIL, INVALID, LISTED_TASK, TASK, check, equals, iso, matches
from contracts.world import World

WORKER_ID = matches(r".+-[0-9a-f]{8}")


async def get(world: World, home: Household, path: str, **query: Any) -> Any:
    answer = await world.client(home.owner).get(f"/api/v1/tasks/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def legacy_rows(world: World, home: Household, count: int, **columns: Any) -> list[str]:
    """Rows that the legacy system wrote, oldest first, one second apart."""
    ids = [f"legacy-{secrets.token_hex(6)}" for _ in range(count)]
    names = "".join(f", {name}" for name in columns)
    places = "".join(f", ${number}" for number in range(4, len(columns) + 4))
    for number, task_id in enumerate(ids):
        await world.database.execute(
            f"INSERT INTO task_logs (id, group_id, task_type, created_at{names})"
            f" VALUES ($1, $2, 'add_episode', now() - make_interval(secs => $3){places})",
            task_id,
            home.project_id,
            count - number,
            *columns.values(),
        )
    return ids


async def test_a_completed_task(world: World, home: Household) -> None:
    task_id = await world.submit(home, "report")
    await world.flip()
    await world.ended(task_id)
    task = await get(world, home, task_id)
    expected = {
        "id": task_id,
        "name": "contract_probe",
        "status": "Completed",
        "created_at": iso,
        "started_at": iso,
        "completed_at": iso,
        "error": None,
        "worker_id": WORKER_ID,
        "retries": 0,
        "duration": matches(r"\d{1,3}ms|\d+\.\ds"),
        "progress": 100,
        "result": equals(RESULT),
        "message": "done",
    }
    check(task, {**TASK, **expected})
    assert task["created_at"] <= task["started_at"] <= task["completed_at"]


async def test_a_waiting_task(world: World, home: Household) -> None:
    task_id = await world.submit(home, delay_seconds=3600)
    await world.flip()
    expected = {
        "status": "Pending",
        "created_at": iso,
        "started_at": None,
        "completed_at": None,
        "error": None,
        "worker_id": "-",
        "retries": 0,
        "duration": "-",
        "progress": 0,
        "result": None,
        "message": None,
    }
    check(await get(world, home, task_id), {**TASK, **expected})


async def test_a_queued_task(world: World, home: Household) -> None:
    async with world.jammed():
        task_id = await world.submit(home)
        check(await get(world, home, task_id), {**TASK, "status": "Pending", "worker_id": "-", "started_at": None})
        assert [task["status"] for task in (await get(world, home, ""))["tasks"]] == ["pending"]
        await world.flip()
    await world.ended(task_id)
    assert (await get(world, home, task_id))["status"] == "Completed"


async def test_a_running_task(world: World, home: Household) -> None:
    async with world.held(home) as (task_id, _):
        expected = {
            "status": "Processing",
            "started_at": iso,
            "completed_at": None,
            "worker_id": WORKER_ID,
            "duration": "-",
            "progress": 10,
            "message": "held",
        }
        check(await get(world, home, task_id), {**TASK, **expected})
        await world.flip()
        check(await get(world, home, task_id), {**TASK, **expected})
    await world.ended(task_id)


async def test_a_failed_task(world: World, home: Household) -> None:
    task_id = await world.submit(home, "fatal the disk is full")
    await world.flip()
    await world.ended(task_id)
    expected = {"status": "Failed", "error": "the disk is full", "completed_at": iso, "worker_id": WORKER_ID}
    check(await get(world, home, task_id), {**TASK, **expected, "result": None})


async def test_an_unknown_task_type_fails_with_its_name(world: World, home: Household) -> None:
    """R7: the legacy worker said COMPLETED."""
    task_id = await world.submit(home, type="no_such_type")
    await world.flip()
    await world.ended(task_id)
    task = await get(world, home, task_id)
    assert task["status"] == "Failed"
    assert "no_such_type" in task["error"]


@pytest.mark.parametrize(
    "task_id", ["6f1c2c1e-0000-4000-8000-000000000000", "nope", "Stats", "%20", "ümläut", "x" * 5000, "'; --", "a%2Fb"]
)
async def test_an_unknown_task(world: World, home: Household, task_id: str) -> None:
    answer = await world.client(home.owner).get(f"/api/v1/tasks/{quote(task_id, safe='%')}")
    assert answer.status_code == 404
    assert answer.json()["detail"] == ("Not Found" if task_id == "a%2Fb" else "Task not found")


# /recent ----------------------------------------------------------------------------------------------------


async def test_recent_lists_newest_first(world: World, home: Household) -> None:
    ids = [await world.submit(home, "report") for _ in range(3)]
    await world.flip()
    for task_id in ids:
        await world.ended(task_id)
    tasks = await get(world, home, "recent")
    check(tasks, [TASK])
    assert [task["id"] for task in tasks] == ids[::-1]


async def test_recent_shows_progress_result_and_message(world: World, home: Household) -> None:
    """T3: legacy left them out."""
    task_id = await world.submit(home, "report")
    await world.ended(task_id)
    [task] = await get(world, home, "recent")
    assert (task["progress"], task["result"], task["message"]) == (100, RESULT, "done")


async def test_recent_gives_fifty_from_the_first_by_default(world: World, home: Household) -> None:
    ids = (await legacy_rows(world, home, 55, status="COMPLETED"))[::-1]
    assert [task["id"] for task in await get(world, home, "recent")] == ids[:50]
    assert [task["id"] for task in await get(world, home, "recent", limit=7, offset=3)] == ids[3:10]
    assert await get(world, home, "recent", offset=55) == []


@pytest.mark.parametrize(
    ("word", "stored"),
    [
        ("pending", "PENDING"),
        ("PENDING", "PENDING"),
        ("Processing", "PROCESSING"),
        ("completed", "COMPLETED"),
        ("FAILED", "FAILED"),
        ("sToPpEd", "STOPPED"),
    ],
)
async def test_recent_by_status_in_any_case(world: World, home: Household, word: str, stored: str) -> None:
    found = {}
    for status in ("PENDING", "PROCESSING", "COMPLETED", "FAILED", "STOPPED"):
        [found[status]] = await legacy_rows(world, home, 1, status=status, worker_id="old-worker")
    tasks = await get(world, home, "recent", status=word)
    assert [task["id"] for task in tasks] == [found[stored]]
    check(tasks, [{**TASK, "status": stored.capitalize()}])


async def test_recent_without_filter_by_name(world: World, home: Household) -> None:
    [task_id] = await legacy_rows(world, home, 1, status="COMPLETED")
    assert [t["id"] for t in await get(world, home, "recent", status="All Statuses", task_type="All Types")] == [
        task_id
    ]
    assert [t["id"] for t in await get(world, home, "recent", status="", task_type="", search="")] == [task_id]
    assert await get(world, home, "recent", status="no such status") == []


async def test_recent_by_type_entity_and_search(world: World, home: Household) -> None:
    probe = await world.submit(home)
    await world.flip()
    await world.ended(probe)
    [first, second] = await legacy_rows(
        world, home, 2, status="COMPLETED", entity_id="entity-7", entity_type="memory", worker_id="host%_\\-0a1b2c3d"
    )

    async def found(**query: str) -> list[str]:
        return sorted(task["id"] for task in await get(world, home, "recent", **query))

    both, none = sorted([first, second]), list[str]()
    assert await found(task_type="contract_probe") == [probe]
    assert await found(task_type="add_episode") == both
    assert await found(task_type="episode") == none
    assert await found(entity_id="entity-7") == both
    assert await found(entity_id="entity") == none
    assert await found(entity_type="memory") == both
    assert await found(entity_type="memory", entity_id="other") == none
    assert await found(search=first[3:-2]) == [first]
    assert await found(search="0a1b2c3d") == both
    assert await found(search="st%_\\") == both
    assert await found(search="s%3d") == none
    assert await found(search="0a1b2c3d", status="failed") == none


@pytest.mark.parametrize("query", [{"limit": "many"}, {"offset": "-1"}, {"limit": "99999999999999999999"}])
async def test_recent_refuses_what_is_no_page(world: World, home: Household, query: dict[str, str]) -> None:
    answer = await world.client(home.owner).get("/api/v1/tasks/recent", params=query)
    assert answer.status_code == 422
    check(answer.json(), INVALID)


# / ----------------------------------------------------------------------------------------------------------


async def test_the_list_of_all_tasks(world: World, home: Household) -> None:
    first = await world.submit(home, "report")
    second = await world.submit(home, "fatal no luck")
    await world.flip()
    await world.ended(first)
    await world.ended(second)
    async with world.held(home) as (third, _):
        fourth = await world.submit(home, delay_seconds=3600)
        body = await get(world, home, "")
        check(body, {"tasks": [LISTED_TASK], "total": 4})
        shown = {task["task_id"]: task["status"] for task in body["tasks"]}
        assert shown == {first: "completed", second: "failed", third: "running", fourth: "pending"}
        assert [task["task_id"] for task in body["tasks"]] == [fourth, third, second, first]
        [completed] = (await get(world, home, "", status="completed"))["tasks"]
        assert (completed["task_type"], completed["progress"], completed["result"]) == ("contract_probe", 100, RESULT)
        [failed] = (await get(world, home, "", status="failed"))["tasks"]
        assert failed["error"] == "no luck"
        assert [t["task_id"] for t in (await get(world, home, "", status="running"))["tasks"]] == [third]
        assert [t["task_id"] for t in (await get(world, home, "", status="pending"))["tasks"]] == [fourth]


async def test_a_stopped_row_of_the_legacy_system_is_cancelled(world: World, home: Household) -> None:
    [task_id] = await legacy_rows(world, home, 1, status="STOPPED")
    body = await get(world, home, "", status="cancelled")
    assert [(task["task_id"], task["status"]) for task in body["tasks"]] == [(task_id, "cancelled")]


async def test_the_list_is_limited(world: World, home: Household) -> None:
    await legacy_rows(world, home, 55, status="COMPLETED")
    assert len((await get(world, home, ""))["tasks"]) == 50
    assert len((await get(world, home, "", limit=200))["tasks"]) == 55
    assert len((await get(world, home, "", limit=1))["tasks"]) == 1
    for limit in (0, 201, "x"):
        answer = await world.client(home.owner).get("/api/v1/tasks/", params={"limit": limit})
        assert answer.status_code == 422
        check(answer.json(), INVALID)


async def test_the_last_slash_may_be_missing(world: World, home: Household) -> None:
    task_id = await world.submit(home, delay_seconds=3600)
    answer = await world.client(home.owner).get("/api/v1/tasks", follow_redirects=True)
    assert answer.status_code == 200
    assert [task["task_id"] for task in answer.json()["tasks"]] == [task_id]


async def test_unknown_paths_and_methods(world: World, home: Household) -> None:
    client = world.client(home.owner)
    for method, path, status in (
        ("GET", "/api/v1/tasks/a/b", 404),
        ("DELETE", "/api/v1/tasks/a", 405),
        ("GET", "/nowhere", 404),
    ):
        answer = await client.request(method, path)
        assert answer.status_code == status
        check(answer.json(), DETAIL)
