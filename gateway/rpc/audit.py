"""`taskgate.v1.AuditService`, on the use cases that HTTP uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from taskgate.v1 import (
    ListAuditEntriesRequest,
    ListAuditEntriesResponse,
    ListAuditEventsRequest,
    ListAuditEventsResponse,
)

from gateway.audit.reading import LARGEST_PAGE, EntryFilter
from gateway.rpc.calls import KeyedCalls, Method
from gateway.rpc.failures import invalid
from gateway.rpc.messages import facts_of, fill
from gateway.rpc.pages import own_token, size_of

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
        return fill(ListAuditEntriesResponse(), {"entries": found, "next_page_token": following})

    async def events(self, authorization: str | None, request: ListAuditEventsRequest) -> ListAuditEventsResponse:
        """A page, oldest first."""
        which, cursor, size = _asked(request)
        if request.after < 0:
            raise invalid("after", "must not be negative")
        await self._access.authenticate(authorization)
        with own_token():
            found, following = await self._trail.events(which, cursor=cursor, limit=size, after=request.after)
        return fill(ListAuditEventsResponse(), {"events": found, "next_page_token": following})


def _asked(request: ListAuditEntriesRequest | ListAuditEventsRequest) -> tuple[EntryFilter, str | None, int]:
    facts: dict[str, Any] = facts_of(request)
    size = size_of(request.page_size, default=100, largest=LARGEST_PAGE)
    return EntryFilter(**facts.get("filter", {})), facts.get("page_token"), size
