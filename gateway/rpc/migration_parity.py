"""The calls of `MigrationService` about parity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskgate.v1 import AskParityGateRequest, AskParityGateResponse, GetParityRequest, GetParityResponse, ParityReport

from gateway.migration.parity.documents import document
from gateway.rpc.calls import KeyedCalls, Method
from gateway.rpc.failures import invalid
from gateway.rpc.messages import facts_of, fill

if TYPE_CHECKING:
    from gateway.gateway import Gateway


class ParityCalls:
    """Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway) -> None:
        self._access = gateway.access
        self._parity = gateway.parity
        self._gate = gateway.parity_gate

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "GetParity": calls.unary(GetParityRequest, self.get_parity),
            "AskParityGate": calls.unary(AskParityGateRequest, self.ask_parity_gate),
        }

    async def get_parity(self, authorization: str | None, request: GetParityRequest) -> GetParityResponse:
        """A tenant's parity as it stands."""
        facts = facts_of(request)
        _check_named(facts, "tenant_id")
        caller = await self._access.authenticate(authorization)
        report = await self._parity.report(caller, facts["tenant_id"], since=facts.get("since"))
        return GetParityResponse(report=fill(ParityReport(), document(report, with_others=caller.is_admin)))

    async def ask_parity_gate(self, authorization: str | None, request: AskParityGateRequest) -> AskParityGateResponse:
        """The one comparison of durations of a move."""
        facts = facts_of(request)
        _check_named(facts, "tenant_id", "task_type")
        caller = await self._access.authenticate(authorization)
        answer = await self._gate.ask(caller, facts["tenant_id"], facts["task_type"], facts.get("samples", 0))
        return fill(AskParityGateResponse(), answer)


def _check_named(facts: Mapping[str, object], *names: str) -> None:
    """Raises `InvalidFields`."""
    for name in names:
        if name not in facts:
            raise invalid(name, "must not be empty")
