"""`KeyService`, and what keys are held to over gRPC."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from taskgate.v1 import (
    BatchSettings,
    CreateKeyRequest,
    CreateScheduleRequest,
    FiringOutcome,
    GetKeyRequest,
    KeyScope,
    KeyServiceStub,
    KeyState,
    ListKeysRequest,
    ListTenantsRequest,
    NewTask,
    OnConflict,
    RetryRequest,
    RevokeKeyRequest,
    RotateKeyRequest,
    RunScheduleRequest,
    ScheduleDefinition,
    ScheduleSpec,
    StopRequest,
    SubmitBatchRequest,
    SubmitRequest,
    UpdateScheduleRequest,
    WatchRequest,
)

from gateway.access.keys import create_key

Code = grpc.StatusCode


@pytest.fixture
def keys(face: Any) -> Any:
    return KeyServiceStub(face.channel)


def of(key: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key}")]


async def test_a_key_from_its_making_to_its_end(face: Any, keys: Any, refusal: Any, tenants: Any) -> None:
    request = CreateKeyRequest(name="import", scope=KeyScope.KEY_SCOPE_SUBMIT, tenant_id="t-ann", per_minute=100)
    made = await keys.CreateKey(request, metadata=face.ann)
    assert (made.key.state, made.key.scope, made.key.created_by) == (
        KeyState.KEY_STATE_ACTIVE,
        KeyScope.KEY_SCOPE_SUBMIT,
        "ann",
    )
    await tenants.ListTenants(ListTenantsRequest(), metadata=of(made.secret))
    refused = await refusal(keys.ListKeys(ListKeysRequest(), metadata=of(made.secret)))
    assert refused.code is Code.PERMISSION_DENIED

    how = RotateKeyRequest(key_id=made.key.key_id, overlap=Duration(seconds=60), why="test")
    rotated = await keys.RotateKey(how, metadata=face.ann)
    assert rotated.key.replaces == made.key.key_id
    old = (await keys.GetKey(GetKeyRequest(key_id=made.key.key_id), metadata=face.ann)).key
    assert old.replaced_by == rotated.key.key_id
    assert old.expires_at.ToDatetime() - made.key.created_at.ToDatetime() < timedelta(seconds=120)
    assert (await refusal(keys.RotateKey(how, metadata=face.ann))).reason == "KEY_NOT_ROTATABLE"

    revoked = await keys.RevokeKey(RevokeKeyRequest(key_id=rotated.key.key_id), metadata=face.ann)
    assert revoked.key.state == KeyState.KEY_STATE_REVOKED
    refused = await refusal(tenants.ListTenants(ListTenantsRequest(), metadata=of(rotated.secret)))
    assert (refused.code, refused.message) == (Code.UNAUTHENTICATED, "API key has been deactivated")

    page = await keys.ListKeys(ListKeysRequest(page_size=1, tenant_id="t-ann"), metadata=face.root)
    rest = await keys.ListKeys(ListKeysRequest(tenant_id="t-ann", page_token=page.next_page_token), metadata=face.root)
    assert {key.key_id for key in (*page.keys, *rest.keys)} == {made.key.key_id, rotated.key.key_id}
    assert (await refusal(keys.GetKey(GetKeyRequest(key_id="none"), metadata=face.root))).reason == "KEY_NOT_FOUND"
    entries = await face.gateway.database.fetch("SELECT source, kind FROM taskgate.ledger WHERE kind LIKE 'key.%'")
    assert {(row["source"], row["kind"]) for row in entries} == {
        ("grpc", "key.create"),
        ("grpc", "key.rotate"),
        ("grpc", "key.revoke"),
    }


async def test_a_revoked_key_ends_its_watch(face: Any, keys: Any) -> None:
    request = CreateKeyRequest(name="watch", scope=KeyScope.KEY_SCOPE_READ, tenant_id="t-ann")
    made = await keys.CreateKey(request, metadata=face.ann)
    task_id = await face.submit()
    watch = face.tasks.Watch(WatchRequest(task_id=task_id), metadata=of(made.secret))
    await watch.read()
    await keys.RevokeKey(RevokeKeyRequest(key_id=made.key.key_id), metadata=face.ann)
    async with asyncio.timeout(2):
        assert await watch.code() is Code.UNAUTHENTICATED


async def test_failed_attempts(face: Any, refusal: Any, tenants: Any) -> None:
    face.gateway.access._attempts._most = 2
    codes = []
    for _ in range(4):
        refused = await refusal(tenants.ListTenants(ListTenantsRequest(), metadata=of(create_key())))
        codes.append(refused.reason)
    assert codes == ["UNAUTHENTICATED"] * 2 + ["TOO_MANY_ATTEMPTS"] * 2


@pytest.mark.parametrize("method", ["Submit", "SubmitBatch", "CreateSchedule"])
async def test_the_same_idempotency_key_with_keys_for_two_tenants(
    face: Any, keys: Any, schedules: Any, method: str
) -> None:
    await face.gateway.database.execute(
        "INSERT INTO user_tenants (user_id, tenant_id, role) VALUES ('ann', 't-bob', 'owner')"
    )
    task = NewTask(task_type="probe")
    definition = ScheduleDefinition(name="n", specs=[ScheduleSpec(cron="30 2 * * *")], action=task)

    async def ask(metadata: Any) -> Any:
        if method == "Submit":
            return await face.tasks.Submit(SubmitRequest(task=task, idempotency_key="k"), metadata=metadata)
        if method == "SubmitBatch":
            parts = [SubmitBatchRequest(settings=BatchSettings(idempotency_key="k")), SubmitBatchRequest(task=task)]
            return await face.tasks.SubmitBatch(iter(parts), metadata=metadata)
        return await schedules.CreateSchedule(
            CreateScheduleRequest(definition=definition, idempotency_key="k"), metadata=metadata
        )

    tenants = []
    for tenant_id in ("t-ann", "t-bob"):
        request = CreateKeyRequest(name="test", scope=KeyScope.KEY_SCOPE_OPERATE, tenant_id=tenant_id)
        metadata = of((await keys.CreateKey(request, metadata=face.ann)).secret)
        first, again = [await ask(metadata) for _ in range(2)]
        assert (first.replayed, again.replayed) == (False, True)
        tenants.append(tenant_id)
        table = "schedule" if method == "CreateSchedule" else "dispatch"
        rows = await face.gateway.database.fetch(f"SELECT tenant_id FROM taskgate.{table} ORDER BY tenant_id")
        assert [row["tenant_id"] for row in rows] == tenants


async def test_a_schedule_stays_in_the_tenant_of_the_key(face: Any, keys: Any, schedules: Any) -> None:
    """Firings have the rights of the user, whose own tenant is another."""
    await face.gateway.database.execute(
        "INSERT INTO user_tenants (user_id, tenant_id, role) VALUES ('ann', 't-bob', 'owner')"
    )
    request = CreateKeyRequest(name="test", scope=KeyScope.KEY_SCOPE_OPERATE, tenant_id="t-bob")
    metadata = of((await keys.CreateKey(request, metadata=face.ann)).secret)
    task = NewTask(task_type="probe")
    definition = ScheduleDefinition(name="n", specs=[ScheduleSpec(cron="30 2 * * *")], action=task)
    made = (await schedules.CreateSchedule(CreateScheduleRequest(definition=definition), metadata=metadata)).schedule
    assert (made.tenant_id, made.action["tenant_id"]) == ("t-bob", "t-bob")
    changed = await schedules.UpdateSchedule(
        UpdateScheduleRequest(schedule_id=made.schedule_id, definition=definition), metadata=metadata
    )
    assert changed.schedule.action["tenant_id"] == "t-bob"
    ran = await schedules.RunSchedule(RunScheduleRequest(schedule_id=made.schedule_id), metadata=metadata)
    assert ran.firing.outcome == FiringOutcome.FIRING_OUTCOME_FIRED, ran.firing.reason


async def test_a_unique_key_of_a_task_that_the_key_is_not_for(face: Any, keys: Any, refusal: Any) -> None:
    await face.gateway.database.execute(
        "INSERT INTO projects (id, tenant_id, name, owner_id, is_public) VALUES ('p-2', 't-ann', 'p-2', 'ann', false)"
    )
    request = CreateKeyRequest(name="test", scope=KeyScope.KEY_SCOPE_OPERATE, tenant_id="t-ann", project_id="p-ann")
    metadata = of((await keys.CreateKey(request, metadata=face.ann)).secret)
    task = NewTask(task_type="probe", unique_key="u", project_id="p-ann")
    own = (await face.tasks.Submit(SubmitRequest(task=task), metadata=metadata)).task.task_id
    assert (await refusal(face.tasks.Submit(SubmitRequest(task=task), metadata=metadata))).metadata == {"task_id": own}
    await face.tasks.Stop(StopRequest(task_id=own), metadata=metadata)
    holder = await face.submit(unique_key="u", project_id="p-2")
    calls = [face.tasks.Retry(RetryRequest(task_id=own), metadata=metadata)]
    for way in (OnConflict.ON_CONFLICT_REFUSE, OnConflict.ON_CONFLICT_RETURN):
        task.on_conflict = way
        calls.append(face.tasks.Submit(SubmitRequest(task=task), metadata=metadata))
        calls.append(face.tasks.SubmitBatch(iter([SubmitBatchRequest(task=task)]), metadata=metadata))
    for call in calls:
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (Code.ALREADY_EXISTS, "UNIQUE_KEY_TAKEN")
        assert refused.metadata == {}
        assert holder not in refused.message
