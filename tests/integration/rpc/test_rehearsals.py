"""`MigrationService`: rehearsals, for administrators."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from taskgate.v1 import (
    ListRehearsalsRequest,
    ListRehearsedTasksRequest,
    MigrationServiceStub,
    RehearsalVerdict,
    RehearsalWeight,
)

from backends.rehearsal import Objection
from gateway.migration.rehearsal.findings import Finding, Findings

Code = grpc.StatusCode


@pytest.fixture
async def migration(face: Any) -> MigrationServiceStub:
    """Of ann one task was looked at."""
    bad = Finding("bad", "t-ann", "odd", "dualwrite", [Objection("no_handler", "odd")])
    await Findings(face.gateway.database).keep([bad])
    return MigrationServiceStub(face.channel)


async def test_a_summary(face: Any, migration: Any) -> None:
    (one,) = (await migration.ListRehearsals(ListRehearsalsRequest(), metadata=face.root)).rehearsals
    assert (one.tenant_id, one.stage, one.not_ready, one.hours) == ("t-ann", "off", 1, 24)
    assert one.verdict == RehearsalVerdict.REHEARSAL_VERDICT_NOT_READY
    (reason,) = one.reasons
    assert (reason.code, reason.weight, list(reason.task_types)) == (
        "no_handler",
        RehearsalWeight.REHEARSAL_WEIGHT_PROBLEM,
        ["odd"],
    )
    asked = ListRehearsalsRequest(tenant_id="t-bob")
    (other,) = (await migration.ListRehearsals(asked, metadata=face.root)).rehearsals
    assert other.verdict == RehearsalVerdict.REHEARSAL_VERDICT_NO_DATA
    assert not other.HasField("last_at")


async def test_single_tasks(face: Any, migration: Any) -> None:
    asked = ListRehearsedTasksRequest(tenant_id="t-ann", reason="no_handler")
    (one,) = (await migration.ListRehearsedTasks(asked, metadata=face.root)).tasks
    assert (one.task_id, one.task_type, one.stage, one.reasons[0].detail) == ("bad", "odd", "dualwrite", "odd")


async def test_bad_requests(face: Any, migration: Any, refusal: Any) -> None:
    for asked, code in (
        (ListRehearsedTasksRequest(), Code.NOT_FOUND),
        (ListRehearsedTasksRequest(tenant_id="t-ann", reason="tired"), Code.INVALID_ARGUMENT),
        (ListRehearsedTasksRequest(tenant_id="t-ann", verdict="good"), Code.INVALID_ARGUMENT),
        (ListRehearsedTasksRequest(tenant_id="t-ann", limit=301), Code.INVALID_ARGUMENT),
    ):
        assert (await refusal(migration.ListRehearsedTasks(asked, metadata=face.root))).code is code
    asked = ListRehearsalsRequest(hours=-1)
    assert (await refusal(migration.ListRehearsals(asked, metadata=face.root))).code is Code.INVALID_ARGUMENT
    refused = await refusal(migration.ListRehearsals(ListRehearsalsRequest(), metadata=face.ann))
    assert refused.code is Code.PERMISSION_DENIED
