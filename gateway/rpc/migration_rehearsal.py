"""The calls of `MigrationService` about rehearsals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field
from taskgate.v1 import (
    ListProbedTasksRequest,
    ListProbedTasksResponse,
    ListRehearsalsRequest,
    ListRehearsalsResponse,
    ListRehearsedTasksRequest,
    ListRehearsedTasksResponse,
)

from gateway.migration.rehearsal.report import LARGEST_PAGE, LONGEST_HOURS, TaskVerdictName
from gateway.rpc.calls import KeyedCalls, Method
from gateway.rpc.messages import checked, facts_of, fill

if TYPE_CHECKING:
    from gateway.gateway import Gateway


class _Rehearsals(BaseModel):
    tenant_id: str | None = None
    hours: int = Field(24, ge=1, le=LONGEST_HOURS)


class _Tasks(BaseModel):
    tenant_id: str = ""
    verdict: TaskVerdictName | None = None
    reason: str | None = None
    limit: int = Field(20, ge=1, le=LARGEST_PAGE)


class RehearsalCalls:
    """Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway) -> None:
        self._access = gateway.access
        self._rehearsals = gateway.rehearsals

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "ListRehearsals": calls.unary(ListRehearsalsRequest, self.list_rehearsals),
            "ListRehearsedTasks": calls.unary(ListRehearsedTasksRequest, self.list_tasks),
            "ListProbedTasks": calls.unary(ListProbedTasksRequest, self.list_probes),
        }

    async def list_rehearsals(
        self, authorization: str | None, request: ListRehearsalsRequest
    ) -> ListRehearsalsResponse:
        """Whether tenants' tasks could run on Temporal."""
        asked = checked(_Rehearsals, facts_of(request))
        await self._access.authenticate(authorization)
        found = await self._rehearsals.summaries(asked.tenant_id, asked.hours)
        return fill(ListRehearsalsResponse(), {"rehearsals": [asdict(one) for one in found]})

    async def list_tasks(
        self, authorization: str | None, request: ListRehearsedTasksRequest
    ) -> ListRehearsedTasksResponse:
        """The newest verdicts about single tasks."""
        asked = checked(_Tasks, facts_of(request))
        await self._access.authenticate(authorization)
        found = await self._rehearsals.tasks(
            asked.tenant_id, verdict=asked.verdict, reason=asked.reason, limit=asked.limit
        )
        return fill(ListRehearsedTasksResponse(), {"tasks": [asdict(one) for one in found]})

    async def list_probes(self, authorization: str | None, request: ListProbedTasksRequest) -> ListProbedTasksResponse:
        """The newest probes that have ended."""
        asked = checked(_Rehearsals, facts_of(request))
        await self._access.authenticate(authorization)
        found = await self._rehearsals.probes(asked.tenant_id or "", asked.hours)
        return fill(ListProbedTasksResponse(), {"probes": [asdict(one) for one in found]})
