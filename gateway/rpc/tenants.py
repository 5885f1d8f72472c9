"""`taskgate.v1.TenantService`, on the use cases that HTTP uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from taskgate.v1 import (
    AddPauseRequest,
    AddPauseResponse,
    ChangeTenantRequest,
    ChangeTenantResponse,
    ClearQuotaRequest,
    ClearQuotaResponse,
    GetTenantRequest,
    GetTenantResponse,
    ListPausesRequest,
    ListPausesResponse,
    ListQuotasRequest,
    ListQuotasResponse,
    ListTenantsRequest,
    ListTenantsResponse,
    Quota,
    RemovePauseRequest,
    RemovePauseResponse,
    SetQuotaRequest,
    SetQuotaResponse,
    Tenant,
    TenantDetail,
)
from taskgate.v1 import Pause as PauseMessage

from gateway.errors import InvalidRequest
from gateway.limits.limits import Pause
from gateway.limits.requests import NewPause, NewQuota
from gateway.rpc.calls import KeyedCalls, Method, Unbroken
from gateway.rpc.messages import checked, facts_of, fill
from gateway.rpc.pages import own_token, size_of
from gateway.rpc.requests import Reason, storable
from gateway.storage.paging import cursor_in, parts_of
from gateway.tenants.service import TenantChange

if TYPE_CHECKING:
    from gateway.gateway import Gateway

SERVICE = "taskgate.v1.TenantService"
_LIST = "tenants"


class TenantService:
    """The calls of the service. Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._service = gateway.tenant_service
        self._pauses = gateway.pauses
        self._unbroken = unbroken

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "ListTenants": calls.unary(ListTenantsRequest, self.list),
            "GetTenant": calls.unary(GetTenantRequest, self.get),
            "ChangeTenant": calls.unary(ChangeTenantRequest, self.change),
            "ListQuotas": calls.unary(ListQuotasRequest, self.quotas),
            "SetQuota": calls.unary(SetQuotaRequest, self.set_quota),
            "ClearQuota": calls.unary(ClearQuotaRequest, self.clear_quota),
            "ListPauses": calls.unary(ListPausesRequest, self.pauses),
            "AddPause": calls.unary(AddPauseRequest, self.add_pause),
            "RemovePause": calls.unary(RemovePauseRequest, self.remove_pause),
        }

    async def list(self, authorization: str | None, request: ListTenantsRequest) -> ListTenantsResponse:
        """A page, by id."""
        size = size_of(request.page_size, default=100, largest=1000)
        with own_token():
            after = parts_of(request.page_token, _LIST, str)[0] if request.page_token else ""
        caller = await self._access.authenticate(authorization)
        found = await self._service.page(caller, after=after, limit=size + 1)
        token = cursor_in(_LIST, found[size - 1]["tenant_id"]) if len(found) > size else ""
        return ListTenantsResponse(tenants=[fill(Tenant(), tenant) for tenant in found[:size]], next_page_token=token)

    async def get(self, authorization: str | None, request: GetTenantRequest) -> GetTenantResponse:
        """One tenant with all that is known of it."""
        tenant_id = storable(request.tenant_id, "tenant_id")
        caller = await self._access.authenticate(authorization)
        return GetTenantResponse(detail=_detail(await self._service.detail(caller, tenant_id)))

    async def change(self, authorization: str | None, request: ChangeTenantRequest) -> ChangeTenantResponse:
        """Change tier or weight."""
        facts = facts_of(request)
        tenant_id = facts.pop("tenant_id", "")
        change = checked(TenantChange, facts)
        caller = await self._access.authenticate(authorization)
        detail = await self._unbroken.run(self._service.change(caller, tenant_id, change))
        return ChangeTenantResponse(detail=_detail(detail))

    async def quotas(self, authorization: str | None, request: ListQuotasRequest) -> ListQuotasResponse:
        """The quotas of a tenant."""
        tenant_id = storable(request.tenant_id, "tenant_id")
        caller = await self._access.authenticate(authorization)
        return ListQuotasResponse(quotas=_quotas(await self._service.quotas(caller, tenant_id)))

    async def set_quota(self, authorization: str | None, request: SetQuotaRequest) -> SetQuotaResponse:
        """Replace a quota."""
        facts = facts_of(request)
        quota = checked(NewQuota, {**facts.get("limits", {}), **checked(Reason, facts).model_dump()}, "limits")
        caller = await self._access.authenticate(authorization)
        work = self._service.set_quota(caller, facts.get("tenant_id", ""), facts.get("project_id"), quota)
        try:
            return SetQuotaResponse(quotas=_quotas(await self._unbroken.run(work)))
        except InvalidRequest as error:
            if error.field == "queued":
                error.field = "limits"
            raise

    async def clear_quota(self, authorization: str | None, request: ClearQuotaRequest) -> ClearQuotaResponse:
        """Take a quota away."""
        facts = facts_of(request)
        why = checked(Reason, facts).why
        caller = await self._access.authenticate(authorization)
        work = self._service.clear_quota(caller, facts.get("tenant_id", ""), facts.get("project_id"), why=why)
        await self._unbroken.run(work)
        return ClearQuotaResponse()

    async def pauses(self, authorization: str | None, request: ListPausesRequest) -> ListPausesResponse:
        """The oldest first."""
        caller = await self._access.authenticate(authorization)
        return ListPausesResponse(pauses=[_pause(pause) for pause in await self._service.pauses(caller)])

    async def add_pause(self, authorization: str | None, request: AddPauseRequest) -> AddPauseResponse:
        """Start no such tasks."""
        asked = checked(NewPause, facts_of(request))
        caller = await self._access.authenticate(authorization)
        pause, is_new = await self._unbroken.run(self._service.add_pause(caller, asked))
        return AddPauseResponse(pause=_pause(pause), existed=not is_new)

    async def remove_pause(self, authorization: str | None, request: RemovePauseRequest) -> RemovePauseResponse:
        """Start them again."""
        facts = facts_of(request)
        why = checked(Reason, facts).why
        caller = await self._access.authenticate(authorization)
        await self._unbroken.run(self._pauses.remove(facts.get("pause_id", ""), by=caller.user_id, why=why))
        return RemovePauseResponse()


def _quotas(found: list[dict[str, Any]]) -> list[Quota]:
    return [fill(Quota(), quota) for quota in found]


def _pause(pause: Pause) -> PauseMessage:
    return fill(PauseMessage(), asdict(pause))


def _detail(detail: Mapping[str, Any]) -> TenantDetail:
    pauses = [asdict(pause) for pause in detail["pauses"]]
    return fill(TenantDetail(), {**detail, "tenant": detail, "pauses": pauses})
