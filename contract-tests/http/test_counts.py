"""Contract §2: `/stats`, `/queue-depth`, `/status-breakdown`."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from contracts.people import Household
from contracts.shapes import check, matches
from contracts.world import World

HOURS = 3600.0


async def row(world: World, home: Household, status: str, age: float, ended: float | None = None) -> None:
    """A row of the legacy system, created `age` seconds ago, ended `ended` seconds ago."""
    await world.database.execute(
        "INSERT INTO task_logs (id, group_id, task_type, status, worker_id, created_at, completed_at) VALUES"
        " ($1, $2, 'add_episode', $3, 'w', now() - make_interval(secs => $4), now() - make_interval(secs => $5))",
        secrets.token_hex(8),
        home.project_id,
        status,
        age,
        ended,
    )


async def fill(world: World, home: Household) -> None:
    for status, age, ended in (
        ("COMPLETED", 10.0, 5.0),
        ("COMPLETED", 2 * HOURS, 0.5 * HOURS),
        ("COMPLETED", 3 * HOURS, 2 * HOURS),
        ("COMPLETED", 30 * HOURS, 0.2 * HOURS),
        ("FAILED", 20.0, 3.0),
        ("FAILED", 5 * HOURS, 4 * HOURS),
        ("FAILED", 40 * HOURS, 0.1 * HOURS),
        ("PENDING", 1.0, None),
        ("PENDING", 50 * HOURS, None),
        ("PROCESSING", 2.0, None),
        ("STOPPED", 3.0, 2.0),
    ):
        await row(world, home, status, age, ended)


async def test_stats(world: World, home: Household) -> None:
    await fill(world, home)
    answer = await world.client(home.owner).get("/api/v1/tasks/stats")
    assert answer.status_code == 200
    check(
        answer.json(),
        {
            "total": 8,
            "pending": 2,
            "processing": 1,
            "completed": 3,
            "failed": 2,
            "throughput_per_minute": float,
            "error_rate": 25.0,
        },
    )
    assert abs(answer.json()["throughput_per_minute"] - 3 / 60) < 1e-9


async def test_stats_of_nothing(world: World, home: Household) -> None:
    answer = await world.client(home.owner).get("/api/v1/tasks/stats")
    assert answer.json() == {
        "total": 0,
        "pending": 0,
        "processing": 0,
        "completed": 0,
        "failed": 0,
        "throughput_per_minute": 0.0,
        "error_rate": 0.0,
    }


async def test_tasks_of_the_gateway_count_by_what_they_are_shown_as(world: World, home: Household) -> None:
    await world.ended(await world.submit(home))
    await world.ended(await world.submit(home, "fatal"))
    await world.submit(home, delay_seconds=3600)
    async with world.held(home):
        await world.flip()
        stats = (await world.client(home.owner).get("/api/v1/tasks/stats")).json()
        counts = [stats[name] for name in ("total", "pending", "processing", "completed", "failed")]
        assert counts == [4, 1, 1, 1, 1]
        assert stats["error_rate"] == 25.0
        breakdown = (await world.client(home.owner).get("/api/v1/tasks/status-breakdown")).json()
        assert breakdown == {"Completed": 1, "Processing": 1, "Failed": 1, "Pending": 1}


async def test_status_breakdown(world: World, home: Household) -> None:
    await fill(world, home)
    answer = await world.client(home.owner).get("/api/v1/tasks/status-breakdown")
    assert (answer.status_code, answer.json()) == (200, {"Completed": 3, "Processing": 1, "Failed": 2, "Pending": 1})


async def test_queue_depth(world: World, home: Household) -> None:
    await row(world, home, "COMPLETED", 22.5 * HOURS, 17.5 * HOURS)  # there at -21 h and -18 h
    await row(world, home, "PENDING", 7 * HOURS)  # there since -6 h
    await row(world, home, "PROCESSING", 100 * HOURS)  # there at every point
    await row(world, home, "COMPLETED", 2 * HOURS, 1 * HOURS)  # between two points
    before = datetime.now(UTC)
    answer = await world.client(home.owner).get("/api/v1/tasks/queue-depth")
    after = datetime.now(UTC)
    assert answer.status_code == 200
    points = answer.json()
    check(points, [{"timestamp": matches(r"([01]\d|2[0-3]):[0-5]\d"), "depth": int}])
    assert [point["depth"] for point in points] == [1, 2, 2, 1, 1, 1, 2, 2, 2]
    for number, point in enumerate(points):
        back = timedelta(hours=3 * (8 - number))
        assert point["timestamp"] in {f"{moment - back:%H:%M}" for moment in (before, after)}
