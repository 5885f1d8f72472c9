"""The calls of `MigrationService` about drains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskgate.v1 import DrainReport, DrainRequest, DrainResponse, WatchDrainRequest, WatchDrainResponse

from gateway.migration.drain.documents import document
from gateway.migration.drain.report import Report
from gateway.rpc.calls import KeyedCalls, Method, Send
from gateway.rpc.messages import facts_of, fill
from gateway.rpc.stream_end import say_why

if TYPE_CHECKING:
    from gateway.gateway import Gateway


class DrainCalls:
    """Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway) -> None:
        self._access = gateway.access
        self._drain = gateway.drain
        self._watch = gateway.drain_watch
        self._quiet = gateway.settings.stream_keepalive_seconds

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "Drain": calls.unary(DrainRequest, self.drain),
            "WatchDrain": calls.streaming(WatchDrainRequest, self.watch_drain),
        }

    async def drain(self, authorization: str | None, request: DrainRequest) -> DrainResponse:
        """A drain as it stands."""
        tenant_id = facts_of(request).get("tenant_id")
        await self._access.authenticate(authorization)
        return DrainResponse(report=_shown(await self._drain.report(tenant_id)))

    async def watch_drain(self, authorization: str | None, request: WatchDrainRequest, send: Send) -> None:
        """A drain after each change. Raises as `say_why` does."""
        tenant_id = facts_of(request).get("tenant_id")
        caller = await self._access.authenticate(authorization)
        subscription = self._watch.subscribe(tenant_id).open()
        try:
            with self._access.watch_key(caller, subscription.close):
                async for report in self._watch.follow(subscription, quiet=self._quiet):
                    if report is not None:
                        await send(WatchDrainResponse(report=_shown(report)).SerializeToString())
        finally:
            subscription.close()
        await say_why(self._access, caller, authorization)


def _shown(report: Report) -> DrainReport:
    facts = document(report)
    return fill(DrainReport(), {**facts, "left": facts})
