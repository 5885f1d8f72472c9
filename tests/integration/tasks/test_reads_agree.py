"""Lists and counts give what a plain reading of the contract gives, over hundreds of rows of every kind."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.access.placement import Caller
from gateway.submission.new_task import MARK
from gateway.tasks.queries.stats import TaskStats
from gateway.tasks.queries.task_log import TaskLog

TENANTS = ("acme", "globex", "initech")
PROJECTS = {"p1": "acme", "p2": "acme", "p3": "globex"}


@dataclass
class Known:
    """A row, and what the contract says of it."""

    id: str
    tenant: str | None
    status: str
    task_type: str
    entity_type: str
    worker_id: str | None
    created_at: datetime
    completed_at: datetime | None


@pytest.fixture
async def known(tasks: Any) -> list[Known]:
    """Rows of every kind; every third one is as old as another, to the microsecond."""
    dice = random.Random(20261123)
    for project, tenant in PROJECTS.items():
        await tasks.add_project(project, tenant)
    rows: list[Known] = []
    for _ in range(400):
        shown = dice.choice(["PENDING", "PROCESSING", "COMPLETED", "COMPLETED", "FAILED", "STOPPED"])
        created = rows[-1].created_at if rows and dice.random() < 0.3 else tasks.ago(minutes=dice.randint(1, 2900))
        finished = shown in ("COMPLETED", "FAILED", "STOPPED")
        completed = created + (tasks.ago() - created) * dice.random() if finished else None
        worker = f"host-{dice.randint(1, 3)}" if finished or shown == "PROCESSING" else None
        group = dice.choice(["p1", "p2", "p3", "neo4j"])
        project = dice.choice([None, *PROJECTS])
        named = dice.choice([None, None, *TENANTS])
        dispatched = dice.random() < 0.6
        legacy_tenant = named or PROJECTS.get(project or group)
        tenant = dice.choice([legacy_tenant, *TENANTS, None]) if dispatched else legacy_tenant
        row = Known(
            id="",
            tenant=tenant,
            status=shown,
            task_type=dice.choice(["add_episode", "add_episode", "rebuild_communities"]),
            entity_type=dice.choice(["episode", "group"]),
            worker_id=worker,
            created_at=created,
            completed_at=completed,
        )
        lag = finished and dice.random() < 0.1
        state = {"PENDING": "waiting", "PROCESSING": "running", "COMPLETED": "completed", "STOPPED": "stopped"}.get(
            shown, dice.choice(["failed", "stopped"])
        )
        row.id = await tasks.add(
            tenant=tenant if dispatched else None,
            state=("queued" if lag else state) if dispatched else None,
            payload=(MARK if dispatched and dice.random() < 0.7 else "")
            + json.dumps({"tenant_id": named, "project_id": project}),
            group_id=group,
            status="PROCESSING" if shown == "PENDING" and dice.random() < 0.5 else shown,
            task_type=row.task_type,
            entity_type=row.entity_type,
            worker_id=worker,
            created_at=created,
            completed_at=completed,
        )
        rows.append(row)
    return sorted(rows, key=lambda r: (r.created_at, r.id), reverse=True)


def callers(member: Callable[..., Caller], admin: Caller) -> list[Caller]:
    return [admin, member("acme"), member("globex"), member("acme", "initech"), member("nobody")]


def sees(caller: Caller, row: Known) -> bool:
    return caller.is_admin or row.tenant in caller.tenant_ids


async def test_lists(known: list[Known], task_log: TaskLog, member: Callable[..., Caller], admin: Caller) -> None:
    filters = {
        "status": (None, "PENDING", "PROCESSING", "COMPLETED", "FAILED", "STOPPED"),
        "task_type": (None, "rebuild_communities"),
        "entity_type": (None, "group"),
        "search": (None, "HOST-2"),
    }
    for caller, values in itertools.product(callers(member, admin), itertools.product(*filters.values())):
        which = dict(zip(filters, values, strict=True))
        expected = [
            row.id
            for row in known
            if sees(caller, row)
            and which["status"] in (None, row.status)
            and which["task_type"] in (None, row.task_type)
            and which["entity_type"] in (None, row.entity_type)
            and (which["search"] is None or which["search"].lower() in (row.worker_id or ""))
        ]
        found = [row.id for row in await task_log.recent(caller, **which, limit=1000)]
        assert found == expected, (caller, which)
        page = [row.id for row in await task_log.recent(caller, **which, limit=7, offset=5)]
        assert page == expected[5:12], (caller, which)


async def test_counts(known: list[Known], task_log: TaskLog, member: Callable[..., Caller], admin: Caller) -> None:
    for caller in callers(member, admin):
        mine = [row for row in known if sees(caller, row)]
        now = datetime.now(UTC)
        day = [row for row in mine if row.created_at >= now - timedelta(days=1)]
        hour = [row for row in mine if row.completed_at and row.completed_at >= now - timedelta(hours=1)]
        failed_today = sum(row.status == "FAILED" for row in day)
        assert await task_log.stats(caller) == TaskStats(
            total=len(day),
            pending=sum(row.status == "PENDING" for row in mine),
            processing=sum(row.status == "PROCESSING" for row in mine),
            completed=sum(row.status == "COMPLETED" for row in day),
            failed=sum(row.status == "FAILED" for row in hour),
            throughput_per_minute=sum(row.status == "COMPLETED" for row in hour) / 60,
            error_rate=pytest.approx(100 * failed_today / len(day) if day else 0.0),
        )
        assert await task_log.status_breakdown(caller) == {
            word: sum(row.status == word.upper() for row in day)
            for word in ("Completed", "Processing", "Failed", "Pending")
        }
        points = await task_log.queue_depth(caller)
        times = [now - timedelta(hours=3 * back) for back in reversed(range(9))]
        assert [point.depth for point in points] == [
            sum(row.created_at <= t and (row.completed_at is None or row.completed_at > t) for row in mine)
            for t in times
        ]
        assert {point.timestamp for point in points} <= {
            (t + timedelta(seconds=s)).strftime("%H:%M") for t in times for s in (0, 60)
        }
