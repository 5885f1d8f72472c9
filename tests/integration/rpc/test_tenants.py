"""`TenantService`, `CallbackService`, and autoscaling signals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from taskgate.v1 import (
    AddPauseRequest,
    Callback,
    CallbackEvent,
    CallbackState,
    ChangeTenantRequest,
    ClearQuotaRequest,
    GetCallbackRequest,
    GetScaleRequest,
    GetTenantRequest,
    ListCallbacksRequest,
    ListPausesRequest,
    ListQuotasRequest,
    ListTenantsRequest,
    ListWebhookSecretsRequest,
    QuotaNumbers,
    RemovePauseRequest,
    ResendCallbackRequest,
    ResendCallbacksRequest,
    RotateWebhookSecretRequest,
    SetQuotaRequest,
    TenantTier,
    WorkerServiceStub,
)

Code = grpc.StatusCode


async def test_tier_and_weight(face: Any, tenants: Any, refusal: Any) -> None:
    request = ChangeTenantRequest(tenant_id="t-ann", tier=TenantTier.TENANT_TIER_VIP, weight=2.5, why="test")
    changed = await tenants.ChangeTenant(request, metadata=face.root)
    await face.submit()
    got = await tenants.GetTenant(GetTenantRequest(tenant_id="t-ann"), metadata=face.ann)

    assert changed.detail.tenant == got.detail.tenant
    assert (got.detail.tenant.tier, got.detail.tenant.weight) == (TenantTier.TENANT_TIER_VIP, 2.5)
    assert (got.detail.tenant.name, got.detail.tenant.stage) == ("ann", "off")
    assert got.detail.tasks["waiting"] == 1
    audit = "SELECT count(*) FROM taskgate.ledger WHERE scope = 'tenant:t-ann' AND why = 'test'"
    assert await face.gateway.database.fetchval(audit) == 2
    refused = await refusal(tenants.GetTenant(GetTenantRequest(tenant_id="t-bob"), metadata=face.ann))
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "TENANT_NOT_FOUND")
    refused = await refusal(tenants.ChangeTenant(ChangeTenantRequest(tenant_id="x", weight=1), metadata=face.root))
    assert refused.code is Code.NOT_FOUND
    assert (await refusal(tenants.ChangeTenant(request, metadata=face.ann))).code is Code.PERMISSION_DENIED


async def test_pages_of_tenants(face: Any, tenants: Any) -> None:
    first = await tenants.ListTenants(ListTenantsRequest(page_size=1), metadata=face.root)
    rest = await tenants.ListTenants(ListTenantsRequest(page_token=first.next_page_token), metadata=face.root)
    mine = await tenants.ListTenants(ListTenantsRequest(), metadata=face.ann)
    assert [tenant.tenant_id for tenant in (*first.tenants, *rest.tenants)] == ["t-ann", "t-bob"]
    assert [tenant.tenant_id for tenant in mine.tenants] == ["t-ann"]


async def test_quotas(face: Any, tenants: Any, refusal: Any) -> None:
    request = SetQuotaRequest(tenant_id="t-ann", limits=QuotaNumbers(queued=1, per_minute=100), why="test")
    (quota,) = (await tenants.SetQuota(request, metadata=face.root)).quotas
    assert (quota.limits.queued, quota.limits.per_minute, quota.set_by) == (1, 100, "root")
    assert not quota.limits.HasField("running")

    await face.submit()
    refused = await refusal(face.submit())
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
    assert refused.retry_seconds is not None
    (quota,) = (await tenants.ListQuotas(ListQuotasRequest(tenant_id="t-ann"), metadata=face.ann)).quotas
    assert quota.used.queued == 1

    empty = SetQuotaRequest(tenant_id="t-ann", project_id="", limits=QuotaNumbers(queued=9))
    for call, field in (
        (tenants.SetQuota(empty, metadata=face.root), "project_id"),
        (tenants.ClearQuota(ClearQuotaRequest(tenant_id="t-ann", project_id=""), metadata=face.root), "project_id"),
        (face.submit(project_id=""), "task.project_id"),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, [field])
    (quota,) = (await tenants.ListQuotas(ListQuotasRequest(tenant_id="t-ann"), metadata=face.ann)).quotas
    assert quota.limits.queued == 1

    await tenants.ClearQuota(ClearQuotaRequest(tenant_id="t-ann"), metadata=face.root)
    await face.submit()
    refused = await refusal(tenants.ListQuotas(ListQuotasRequest(tenant_id="t-ann"), metadata=face.bob))
    assert refused.code is Code.NOT_FOUND
    assert (await refusal(tenants.SetQuota(request, metadata=face.ann))).code is Code.PERMISSION_DENIED


async def test_pauses(face: Any, tenants: Any, refusal: Any) -> None:
    request = AddPauseRequest(tenant_id="t-ann", task_type="probe", why="test")
    added, again = [await tenants.AddPause(request, metadata=face.root) for _ in range(2)]
    assert (added.existed, again.existed, added.pause == again.pause) == (False, True, True)
    assert (added.pause.task_type, added.pause.set_by, added.pause.HasField("project_id")) == ("probe", "root", False)
    assert [
        len((await tenants.ListPauses(ListPausesRequest(), metadata=who)).pauses) for who in (face.ann, face.bob)
    ] == [
        1,
        0,
    ]
    about = RemovePauseRequest(pause_id=added.pause.pause_id)
    await tenants.RemovePause(about, metadata=face.root)
    assert (await refusal(tenants.RemovePause(about, metadata=face.root))).code is Code.NOT_FOUND
    assert (await refusal(tenants.AddPause(request, metadata=face.ann))).code is Code.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("ChangeTenant", ChangeTenantRequest(tenant_id="t-ann"), "tier"),
        ("ChangeTenant", ChangeTenantRequest(tenant_id="t-ann", tier=9), "tier"),
        ("ChangeTenant", ChangeTenantRequest(tenant_id="t-ann", weight=0), "weight"),
        ("ChangeTenant", ChangeTenantRequest(tenant_id="t-ann", weight=1, why="w" * 1001), "why"),
        ("SetQuota", SetQuotaRequest(tenant_id="t-ann"), "limits"),
        ("SetQuota", SetQuotaRequest(tenant_id="t-ann", limits=QuotaNumbers(running=-1)), "limits.running"),
        (
            "SetQuota",
            SetQuotaRequest(tenant_id="t-ann", limits=QuotaNumbers(running=1), project_id="p-bob"),
            "project_id",
        ),
        ("AddPause", AddPauseRequest(why="w"), "tenant_id"),
        ("AddPause", AddPauseRequest(tenant_id="t-ann"), "why"),
        ("ListTenants", ListTenantsRequest(page_size=-1), "page_size"),
        ("GetTenant", GetTenantRequest(tenant_id="\0"), "tenant_id"),
    ],
)
async def test_bad_requests_name_their_field(
    face: Any, tenants: Any, refusal: Any, method: str, request_: Any, field: str
) -> None:
    refused = await refusal(getattr(tenants, method)(request_, metadata=face.root))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, [field])


async def given_up(face: Any, name: str = "ann") -> str:
    """A callback that was given up; its id."""
    task_id = await face.submit(name, callback=Callback(url="https://example.org/x"))
    await face.finish(task_id)
    query = (
        "UPDATE taskgate.delivery SET state = 'dead', attempts = 9, ended_at = now() WHERE task_id = $1 RETURNING id"
    )
    return str(await face.gateway.database.fetchval(query, task_id))


async def test_callbacks_are_seen_and_sent_again(face: Any, callbacks: Any, refusal: Any) -> None:
    mine, foreign = await given_up(face), await given_up(face, "bob")
    request = ListCallbacksRequest(state=CallbackState.CALLBACK_STATE_DEAD)
    (listed,) = (await callbacks.ListCallbacks(request, metadata=face.ann)).callbacks
    got = await callbacks.GetCallback(GetCallbackRequest(id=mine), metadata=face.ann)
    assert (listed.id, listed.attempts, listed.event) == (mine, 9, CallbackEvent.CALLBACK_EVENT_COMPLETED)
    assert got.callback == listed
    assert got.body["data"]["task_id"] == listed.task_id

    resent = await callbacks.ResendCallbacks(ResendCallbacksRequest(), metadata=face.ann)
    assert resent.resent == 1
    later = ResendCallbacksRequest(given_up_before=resent.given_up_before)
    assert (await callbacks.ResendCallbacks(later, metadata=face.ann)).resent == 0
    got = await callbacks.GetCallback(GetCallbackRequest(id=mine), metadata=face.ann)
    assert got.callback.state == CallbackState.CALLBACK_STATE_PENDING
    refused = await refusal(callbacks.ResendCallback(ResendCallbackRequest(id=mine), metadata=face.ann))
    assert refused.code is Code.FAILED_PRECONDITION
    for call, about in ((callbacks.GetCallback, GetCallbackRequest), (callbacks.ResendCallback, ResendCallbackRequest)):
        assert (await refusal(call(about(id=foreign), metadata=face.ann))).code is Code.NOT_FOUND
    await callbacks.ResendCallback(ResendCallbackRequest(id=foreign), metadata=face.bob)


@pytest.mark.parametrize(
    ("data", "shown"),
    [('{"s": "\\ud800"}', {"s": "?"}), ('{"n": 1e999}', {"n": "Infinity"}), ('{"a":' * 3000 + "1" + "}" * 3000, None)],
    ids=["surrogate", "huge", "very deep"],
)
async def test_any_body_that_http_shows_is_shown(face: Any, callbacks: Any, data: str, shown: Any) -> None:
    callback = await given_up(face)
    body = f'{{"data": {data}}}'
    await face.gateway.database.execute("UPDATE taskgate.delivery SET body = $2 WHERE id::text = $1", callback, body)
    got = await callbacks.GetCallback(GetCallbackRequest(id=callback), metadata=face.ann)
    assert got.callback.id == callback
    assert MessageToDict(got.body) == ({} if shown is None else {"data": shown})


async def test_secrets(face: Any, callbacks: Any, refusal: Any) -> None:
    await face.gateway.database.execute(
        "INSERT INTO user_tenants (user_id, tenant_id, role) VALUES ('ann', 't-ann', 'owner')"
    )
    request = RotateWebhookSecretRequest(tenant_id="t-ann", overlap=Duration(seconds=3600))
    first, second = [await callbacks.RotateWebhookSecret(request, metadata=face.ann) for _ in range(2)]
    assert first.secret != second.secret
    about = ListWebhookSecretsRequest(tenant_id="t-ann")
    current, before = (await callbacks.ListWebhookSecrets(about, metadata=face.ann)).secrets
    assert not current.HasField("expires_at")
    assert 3500 < (before.expires_at.ToDatetime(UTC) - datetime.now(UTC)).total_seconds() <= 3600
    assert (await refusal(callbacks.ListWebhookSecrets(about, metadata=face.bob))).code is Code.NOT_FOUND
    request.overlap.seconds = -1
    refused = await refusal(callbacks.RotateWebhookSecret(request, metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["overlap"])


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ListCallbacksRequest(page_token="?"), "page_token"),
        (ListCallbacksRequest(state=9), "state"),
        (ListCallbacksRequest(event=9), "event"),
        (ListCallbacksRequest(tenant_id=""), "tenant_id"),
    ],
)
async def test_bad_lists_of_callbacks(face: Any, callbacks: Any, refusal: Any, request_: Any, field: str) -> None:
    refused = await refusal(callbacks.ListCallbacks(request_, metadata=face.ann))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, [field])


async def test_signals(face: Any) -> None:
    await face.submit()
    found = await WorkerServiceStub(face.channel).GetScale(GetScaleRequest(), metadata=face.root)
    assert found.window.seconds == 60
    (unrouted,) = [one for one in found.signals if not one.HasField("backend")]
    assert (unrouted.tier, unrouted.load.backlog, unrouted.load.demand) == ("standard", 1, 1)
    assert {pool.pool for pool in found.pools} >= {"A", "B", "C"}
