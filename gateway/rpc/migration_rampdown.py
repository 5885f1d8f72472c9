"""The call of `MigrationService` about rampdowns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskgate.v1 import GetRampdownRequest, GetRampdownResponse

from gateway.migration.rampdown.report import RampdownReports, document
from gateway.rpc.calls import KeyedCalls, Method
from gateway.rpc.messages import facts_of, fill

if TYPE_CHECKING:
    from gateway.gateway import Gateway


class RampdownCalls:
    """Raises what the error tree has for it."""

    def __init__(self, gateway: Gateway) -> None:
        self._access = gateway.access
        self._reports = RampdownReports(
            gateway.database, gateway.engines, gateway.router, is_down=gateway.dispatcher.is_down
        )

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {"GetRampdown": calls.unary(GetRampdownRequest, self.get_rampdown)}

    async def get_rampdown(self, authorization: str | None, request: GetRampdownRequest) -> GetRampdownResponse:
        """What of a tenant moves, and what stays and why."""
        tenant_id = facts_of(request).get("tenant_id", "")
        await self._access.authenticate(authorization)
        report = await self._reports.read(tenant_id, dry_run=request.dry_run)
        return fill(GetRampdownResponse(), {"report": document(report)})
