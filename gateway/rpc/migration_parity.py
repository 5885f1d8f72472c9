"""The calls of `MigrationService` about parity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskgate.v1 import (
    AskParityGateRequest,
    AskParityGateResponse,
    GetParityRequest,
    GetParityResponse,
    ParityReport,
    WatchParityRequest,
    WatchParityResponse,
)

from gateway.access.placement import Caller
from gateway.migration.parity.documents import document
from gateway.migration.parity.parity import Report
from gateway.rpc.calls import KeyedCalls, Method, Send
from gateway.rpc.failures import invalid
from gateway.rpc.messages import facts_of, fill
from gateway.rpc.stream_end import say_why

if TYPE_CHECKING:
    from gateway.gateway import Gateway


class ParityCalls:
    """Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway) -> None:
        self._access = gateway.access
        self._parity = gateway.parity
        self._gate = gateway.parity_gate
        self._watch = gateway.parity_watch
        self._quiet = gateway.settings.stream_keepalive_seconds

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "GetParity": calls.unary(GetParityRequest, self.get_parity),
            "WatchParity": calls.streaming(WatchParityRequest, self.watch_parity),
            "AskParityGate": calls.unary(AskParityGateRequest, self.ask_parity_gate),
        }

    async def get_parity(self, authorization: str | None, request: GetParityRequest) -> GetParityResponse:
        """A tenant's parity as it stands."""
        facts = facts_of(request)
        _check_named(facts, "tenant_id")
        caller = await self._access.authenticate(authorization)
        report = await self._parity.report(caller, facts["tenant_id"], since=facts.get("since"))
        return GetParityResponse(report=_shown(report, caller))

    async def watch_parity(self, authorization: str | None, request: WatchParityRequest, send: Send) -> None:
        """It after each change. Raises as `say_why` does."""
        facts = facts_of(request)
        _check_named(facts, "tenant_id")
        caller = await self._access.authenticate(authorization)
        subscription = (await self._watch.subscribe(caller, facts["tenant_id"])).open()
        try:
            with self._access.watch_key(caller, subscription.close):
                async for report in self._watch.follow(subscription, quiet=self._quiet):
                    if report is not None:
                        await send(WatchParityResponse(report=_shown(report, caller)).SerializeToString())
        finally:
            subscription.close()
        await say_why(self._access, caller, authorization)

    async def ask_parity_gate(self, authorization: str | None, request: AskParityGateRequest) -> AskParityGateResponse:
        """The one comparison of durations of a move."""
        facts = facts_of(request)
        _check_named(facts, "tenant_id", "task_type")
        caller = await self._access.authenticate(authorization)
        answer = await self._gate.ask(caller, facts["tenant_id"], facts["task_type"], facts.get("samples", 0))
        return fill(AskParityGateResponse(), answer)


def _shown(report: Report, caller: Caller) -> ParityReport:
    return fill(ParityReport(), document(report, with_others=caller.is_admin))


def _check_named(facts: Mapping[str, object], *names: str) -> None:
    """Raises `InvalidFields`."""
    for name in names:
        if name not in facts:
            raise invalid(name, "must not be empty")
