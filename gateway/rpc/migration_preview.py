"""The calls of `MigrationService` about previews, on the use case that HTTP uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskgate.v1 import DryRunPlanRequest, DryRunPlanResponse, PreviewStagesRequest, PreviewStagesResponse

from gateway.migration.preview.requests import ProposedChange
from gateway.rpc.calls import KeyedCalls, Method
from gateway.rpc.messages import checked, facts_of, fill

if TYPE_CHECKING:
    from gateway.gateway import Gateway


class PreviewCalls:
    """Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway) -> None:
        self._access = gateway.access
        self._previews = gateway.previews

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "PreviewStages": calls.unary(PreviewStagesRequest, self.preview),
            "DryRunPlan": calls.unary(DryRunPlanRequest, self.dry_run),
        }

    async def preview(self, authorization: str | None, request: PreviewStagesRequest) -> PreviewStagesResponse:
        """Of a change."""
        await self._access.authenticate(authorization)
        asked = checked(ProposedChange, facts_of(request))
        return fill(PreviewStagesResponse(), {"preview": await self._previews.of(asked)})

    async def dry_run(self, authorization: str | None, request: DryRunPlanRequest) -> DryRunPlanResponse:
        """Of each wave of a plan."""
        await self._access.authenticate(authorization)
        asked = checked(ProposedChange, {"document": request.document, **facts_of(request)})
        return fill(DryRunPlanResponse(), {"preview": await self._previews.of(asked)})
