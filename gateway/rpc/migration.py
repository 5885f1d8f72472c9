"""`taskgate.v1.MigrationService`: each part of a move has its calls in a module of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.rpc.calls import KeyedCalls, Method, Unbroken
from gateway.rpc.migration_drain import DrainCalls
from gateway.rpc.migration_guardrails import GuardrailCalls
from gateway.rpc.migration_ledger import LedgerCalls
from gateway.rpc.migration_parity import ParityCalls
from gateway.rpc.migration_plans import PlanCalls
from gateway.rpc.migration_preview import PreviewCalls
from gateway.rpc.migration_rampdown import RampdownCalls
from gateway.rpc.migration_rehearsal import RehearsalCalls
from gateway.rpc.migration_stages import StageCalls

if TYPE_CHECKING:
    from gateway.gateway import Gateway

SERVICE = "taskgate.v1.MigrationService"


class MigrationService:
    """The calls of the service. Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._parts = (
            StageCalls(gateway, unbroken),
            LedgerCalls(gateway),
            DrainCalls(gateway),
            ParityCalls(gateway),
            GuardrailCalls(gateway, unbroken),
            RampdownCalls(gateway),
            RehearsalCalls(gateway),
            PlanCalls(gateway, unbroken),
            PreviewCalls(gateway),
        )

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {name: method for part in self._parts for name, method in part.handlers(calls).items()}
