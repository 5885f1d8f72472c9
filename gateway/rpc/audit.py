"""`taskgate.v1.AuditService`, on the use cases that HTTP uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from google.protobuf.struct_pb2 import Struct
from taskgate.v1 import (
    AuditEntry,
    ListAuditEntriesRequest,
    ListAuditEntriesResponse,
    ListAuditEventsRequest,
    ListAuditEventsResponse,
)

from gateway.audit.reading import ENTRIES, EVENTS, LARGEST_PAGE, EntryFilter
from gateway.rpc.calls import KeyedCalls, Method
from gateway.rpc.failures import invalid
from gateway.rpc.messages import facts_of, fill
from gateway.rpc.pages import own_token, page_of, size_of
from gateway.rpc.values import put_plain
from gateway.storage.paging import cursor_in

if TYPE_CHECKING:
    from gateway.gateway import Gateway

SERVICE = "taskgate.v1.AuditService"


class AuditService:
    """The calls of the service. Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway) -> None:
        self._access = gateway.access
        self._trail = gateway.audit_trail

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "ListAuditEntries": calls.unary(ListAuditEntriesRequest, self.entries),
            "ListAuditEvents": calls.unary(ListAuditEventsRequest, self.events),
        }

    async def entries(self, authorization: str | None, request: ListAuditEntriesRequest) -> ListAuditEntriesResponse:
        """A page, newest first."""
        which, cursor, size = _asked(request)
        await self._access.authenticate(authorization)
        with own_token():
            found, following = await self._trail.page(which, cursor=cursor, limit=size)
        entries, token = page_of(
            found,
            lambda entry: fill(AuditEntry(), entry),
            lambda entry: cursor_in(ENTRIES, entry["id"]),
            more=following is not None,
        )
        return ListAuditEntriesResponse(entries=entries, next_page_token=token)

    async def events(self, authorization: str | None, request: ListAuditEventsRequest) -> ListAuditEventsResponse:
        """A page, oldest first."""
        which, cursor, size = _asked(request)
        if request.after < 0:
            raise invalid("after", "must not be negative")
        await self._access.authenticate(authorization)
        with own_token():
            found, following = await self._trail.events(which, cursor=cursor, limit=size, after=request.after)
        events, token = page_of(found, _struct, lambda event: cursor_in(EVENTS, int(event["id"])), more=True)
        return ListAuditEventsResponse(events=events, next_page_token=token or following or "")


def _struct(event: dict[str, Any]) -> Struct:
    struct = Struct()
    put_plain(event, struct)
    return struct


def _asked(request: ListAuditEntriesRequest | ListAuditEventsRequest) -> tuple[EntryFilter, str | None, int]:
    facts: dict[str, Any] = facts_of(request)
    size = size_of(request.page_size, default=100, largest=LARGEST_PAGE)
    return EntryFilter(**facts.get("filter", {})), facts.get("page_token"), size
