"""What handlers submit stays where their own task is (quirk G1)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.storage.database import Database
from gateway.submission.deferring_dispatcher import DeferringDispatcher
from gateway.submission.intake import Intake
from gateway.tasks.lifecycle.claim import Claim
from workers.submit import Submitter


async def submitted(database: Database, task_group_id: str, **claimed: Any) -> dict[str, Any]:
    """The payload of the rebuild that a task so claimed submits; its row and the payload name the same group."""
    facts = {
        "tenant_id": "acme",
        "project_id": None,
        "group_id": "acme",
        "task_type": "probe",
        "payload": {},
        **claimed,
    }
    intake = Intake(database, DeferringDispatcher(database), max_attempts=3, idempotency_hours=1)
    claim = Claim(task_id="parent", attempt=1, epoch=1, worker_id="w1", user_id="ann", **facts)
    task_id = await Submitter(database, intake, claim).submit_rebuild(task_group_id)
    row = await database.fetchrow("SELECT group_id, payload, parent_task_id FROM task_logs WHERE id = $1", task_id)
    assert row is not None
    payload: dict[str, Any] = json.loads(row["payload"])
    assert (row["group_id"], row["parent_task_id"]) == (payload["task_group_id"], "parent")
    return {name: payload[name] for name in ("task_group_id", "group_ids") if name in payload}


@pytest.fixture
async def projects(database: Database) -> None:
    await database.execute("INSERT INTO users (id, email, name) VALUES ('ann', 'ann', 'ann')")
    for tenant in ("acme", "initech"):
        await database.execute("INSERT INTO tenants (id, name, owner_id) VALUES ($1, $1, 'ann')", tenant)
        await database.execute(
            "INSERT INTO projects (id, tenant_id, name, owner_id) VALUES ($1, $2, $1, 'ann')", f"{tenant}-1", tenant
        )


@pytest.mark.usefixtures("projects")
async def test_a_rebuild_of_everything_is_one_of_the_tenant(database: Database) -> None:
    expected = {"task_group_id": "acme", "group_ids": ["acme", "acme-1"]}
    assert await submitted(database, "global") == await submitted(database, "acme") == expected
    of_project = await submitted(database, "global", project_id="acme-1", group_id="acme-1")
    assert of_project == {"task_group_id": "acme-1"}


@pytest.mark.usefixtures("projects")
async def test_what_works_on_everything_rebuilds_everything(database: Database) -> None:
    assert await submitted(database, "global", group_id="global") == {"task_group_id": "global"}
    assert await submitted(database, "neo4j", group_id="neo4j") == {"task_group_id": "neo4j"}


@pytest.mark.usefixtures("projects")
async def test_one_group_is_one_group(database: Database) -> None:
    assert await submitted(database, "acme-1") == {"task_group_id": "acme-1"}
