"""The calls of `MigrationService` about guardrails, on the use cases that HTTP uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskgate.v1 import (
    GetGuardrailsRequest,
    GetGuardrailsResponse,
    GuardrailEvent,
    ListGuardrailEventsRequest,
    ListGuardrailEventsResponse,
    SetGuardrailRequest,
    SetGuardrailResponse,
    UnfreezeGuardrailsRequest,
    UnfreezeGuardrailsResponse,
    UnlockGuardrailRequest,
    UnlockGuardrailResponse,
)

from gateway.migration.guardrails.guardrails import LARGEST_PAGE, LIST
from gateway.migration.guardrails.requests import SetGuardrail, Unfreeze, Unlock
from gateway.rpc.calls import KeyedCalls, Method, Unbroken
from gateway.rpc.messages import checked, facts_of, fill
from gateway.rpc.pages import own_token, page_of, size_of
from gateway.storage.paging import cursor_in

if TYPE_CHECKING:
    from gateway.gateway import Gateway


class GuardrailCalls:
    """Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._guardrails = gateway.guardrails
        self._unbroken = unbroken

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "GetGuardrails": calls.unary(GetGuardrailsRequest, self.get),
            "SetGuardrail": calls.unary(SetGuardrailRequest, self.set),
            "UnlockGuardrail": calls.unary(UnlockGuardrailRequest, self.unlock),
            "UnfreezeGuardrails": calls.unary(UnfreezeGuardrailsRequest, self.unfreeze),
            "ListGuardrailEvents": calls.unary(ListGuardrailEventsRequest, self.history),
        }

    async def get(self, authorization: str | None, request: GetGuardrailsRequest) -> GetGuardrailsResponse:
        """Where they stand."""
        tenant_id = facts_of(request).get("tenant_id")
        await self._access.authenticate(authorization)
        return fill(GetGuardrailsResponse(), await self._guardrails.show(tenant_id))

    async def set(self, authorization: str | None, request: SetGuardrailRequest) -> SetGuardrailResponse:
        """Replace what is set at one level."""
        asked = checked(SetGuardrail, facts_of(request))
        work = self._guardrails.set(await self._who(authorization), asked)
        return fill(SetGuardrailResponse(), await self._unbroken.run(work))

    async def unlock(self, authorization: str | None, request: UnlockGuardrailRequest) -> UnlockGuardrailResponse:
        """A person has looked at one tenant."""
        asked = checked(Unlock, facts_of(request))
        work = self._guardrails.unlock(await self._who(authorization), asked)
        return fill(UnlockGuardrailResponse(), await self._unbroken.run(work))

    async def unfreeze(
        self, authorization: str | None, request: UnfreezeGuardrailsRequest
    ) -> UnfreezeGuardrailsResponse:
        """A person has looked at all."""
        asked = checked(Unfreeze, facts_of(request))
        work = self._guardrails.unfreeze(await self._who(authorization), asked)
        return fill(UnfreezeGuardrailsResponse(), await self._unbroken.run(work))

    async def history(
        self, authorization: str | None, request: ListGuardrailEventsRequest
    ) -> ListGuardrailEventsResponse:
        """A page, newest first."""
        facts = facts_of(request)
        size = size_of(request.page_size, default=50, largest=LARGEST_PAGE)
        await self._access.authenticate(authorization)
        with own_token():
            events, following = await self._guardrails.history(
                tenant_id=facts.get("tenant_id"), cursor=facts.get("page_token"), limit=size
            )
        found, token = page_of(
            events,
            lambda event: fill(GuardrailEvent(), event),
            lambda event: cursor_in(LIST, event["id"]),
            more=following is not None,
        )
        return ListGuardrailEventsResponse(events=found, next_page_token=token)

    async def _who(self, authorization: str | None) -> str:
        return (await self._access.authenticate(authorization)).user_id
