"""The calls of `MigrationService` about plans, on the use cases that HTTP uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskgate.v1 import (
    ActOnPlanRequest,
    ActOnPlanResponse,
    GetPlanRequest,
    GetPlanResponse,
    GetPlanSchemaRequest,
    GetPlanSchemaResponse,
    ListPlansRequest,
    ListPlansResponse,
    PutPlanRequest,
    PutPlanResponse,
    ValidatePlanRequest,
    ValidatePlanResponse,
)

from gateway.migration.plans.checking import Written
from gateway.migration.plans.document import json_schema
from gateway.migration.plans.requests import ActOnPlan
from gateway.rpc.calls import KeyedCalls, Method, Unbroken
from gateway.rpc.messages import checked, facts_of, fill

if TYPE_CHECKING:
    from gateway.gateway import Gateway


class PlanCalls:
    """Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._plans = gateway.plans
        self._unbroken = unbroken

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "ListPlans": calls.unary(ListPlansRequest, self.list),
            "GetPlan": calls.unary(GetPlanRequest, self.get),
            "GetPlanSchema": calls.unary(GetPlanSchemaRequest, self.schema),
            "ValidatePlan": calls.unary(ValidatePlanRequest, self.validate),
            "PutPlan": calls.unary(PutPlanRequest, self.put),
            "ActOnPlan": calls.unary(ActOnPlanRequest, self.act),
        }

    async def list(self, authorization: str | None, request: ListPlansRequest) -> ListPlansResponse:
        """The newest."""
        await self._who(authorization)
        return fill(ListPlansResponse(), {"plans": await self._plans.list()})

    async def get(self, authorization: str | None, request: GetPlanRequest) -> GetPlanResponse:
        """One, with its steps."""
        await self._who(authorization)
        return fill(GetPlanResponse(), {"plan": await self._plans.get(request.name)})

    async def schema(self, authorization: str | None, request: GetPlanSchemaRequest) -> GetPlanSchemaResponse:
        """The JSON Schema."""
        await self._who(authorization)
        return fill(GetPlanSchemaResponse(), {"schema": json_schema()})

    async def validate(self, authorization: str | None, request: ValidatePlanRequest) -> ValidatePlanResponse:
        """What is wrong with a text."""
        await self._who(authorization)
        return fill(ValidatePlanResponse(), await self._plans.validate(Written.of(request.document)))

    async def put(self, authorization: str | None, request: PutPlanRequest) -> PutPlanResponse:
        """Write a draft."""
        based_on = facts_of(request).get("based_on")
        who, written = await self._who(authorization), Written.of(request.document)
        work = self._plans.put(who, request.name, written, based_on)
        return fill(PutPlanResponse(), {"plan": await self._unbroken.run(work)})

    async def act(self, authorization: str | None, request: ActOnPlanRequest) -> ActOnPlanResponse:
        """Start or steer one."""
        facts = facts_of(request)
        facts.pop("name", None)
        asked = checked(ActOnPlan, facts)
        work = self._plans.act(await self._who(authorization), request.name, asked)
        return fill(ActOnPlanResponse(), {"plan": await self._unbroken.run(work)})

    async def _who(self, authorization: str | None) -> str:
        return (await self._access.authenticate(authorization)).user_id
