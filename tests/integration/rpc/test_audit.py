"""`AuditService`: the record over gRPC."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from taskgate.v1 import (
    AuditFilter,
    AuditServiceStub,
    ListAuditEntriesRequest,
    ListAuditEventsRequest,
    QuotaNumbers,
    SetQuotaRequest,
)

Code = grpc.StatusCode


@pytest.fixture
def audit(face: Any) -> Any:
    return AuditServiceStub(face.channel)


async def test_entries_and_events(face: Any, audit: Any, tenants: Any, refusal: Any) -> None:
    for queued in (5, 6):
        request = SetQuotaRequest(tenant_id="t-ann", limits=QuotaNumbers(queued=queued), why="test")
        await tenants.SetQuota(request, metadata=[*face.root, ("x-request-id", f"request-{queued}")])
    which = AuditFilter(action="quota.", who="root")
    first = await audit.ListAuditEntries(ListAuditEntriesRequest(filter=which, page_size=1), metadata=face.root)
    [entry] = first.entries
    assert (entry.action, entry.subject, entry.who, entry.why) == ("quota.set", "tenant:t-ann", "root", "test")
    assert (entry.source, entry.request_id, entry.address) == ("grpc", "request-6", "127.0.0.1")
    assert (entry.before["queued"], entry.after["queued"]) == (5, 6)
    request = ListAuditEntriesRequest(filter=which, page_token=first.next_page_token)
    rest = await audit.ListAuditEntries(request, metadata=face.root)
    assert ([one.request_id for one in rest.entries], rest.next_page_token) == (["request-5"], "")

    events = await audit.ListAuditEvents(ListAuditEventsRequest(filter=which), metadata=face.root)
    assert [event["data"]["api"]["request"]["uid"] for event in events.events] == ["request-5", "request-6"]
    again = ListAuditEventsRequest(filter=which, page_token=events.next_page_token)
    assert not (await audit.ListAuditEvents(again, metadata=face.root)).events
    later = ListAuditEventsRequest(filter=which, after=int(events.events[0]["id"]))
    assert list((await audit.ListAuditEvents(later, metadata=face.root)).events) == events.events[1:]
    for wrong in (ListAuditEventsRequest(after=-1), ListAuditEventsRequest(page_token=events.events[0]["id"])):
        refused = await refusal(audit.ListAuditEvents(wrong, metadata=face.root))
        assert refused.code is Code.INVALID_ARGUMENT
    refused = await refusal(audit.ListAuditEntries(ListAuditEntriesRequest(page_token="x"), metadata=face.root))
    assert refused.code is Code.INVALID_ARGUMENT
    refused = await refusal(audit.ListAuditEntries(ListAuditEntriesRequest(), metadata=face.ann))
    assert refused.code is Code.PERMISSION_DENIED
