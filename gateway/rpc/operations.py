"""`taskgate.v1.OperationService`, on the use cases that HTTP uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from taskgate.v1 import (
    AbortOperationRequest,
    AbortOperationResponse,
    GetOperationRequest,
    GetOperationResponse,
    ListOperationsRequest,
    ListOperationsResponse,
    Operation,
    StartOperationRequest,
    StartOperationResponse,
)

from gateway.operations.request import NewOperation
from gateway.rpc.calls import KeyedCalls, Method, Unbroken
from gateway.rpc.messages import checked, facts_of, fill
from gateway.rpc.pages import size_of
from gateway.rpc.requests import storable

if TYPE_CHECKING:
    from gateway.gateway import Gateway

SERVICE = "taskgate.v1.OperationService"


class OperationService:
    """The calls of the service. Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._operations = gateway.operations
        self._runner = gateway.operation_runner
        self._unbroken = unbroken

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "StartOperation": calls.unary(StartOperationRequest, self.start),
            "GetOperation": calls.unary(GetOperationRequest, self.get),
            "ListOperations": calls.unary(ListOperationsRequest, self.list),
            "AbortOperation": calls.unary(AbortOperationRequest, self.abort),
        }

    async def start(self, authorization: str | None, request: StartOperationRequest) -> StartOperationResponse:
        """Begin one, or say how many tasks it would be about."""
        asked = checked(NewOperation, facts_of(request))
        caller = await self._access.authenticate(authorization)
        work = self._operations.begin(
            caller, asked.action, asked.filter, priority=asked.priority, dry_run=asked.dry_run, why=asked.why
        )
        begun = await self._unbroken.run(work)
        self._runner.wake()
        return StartOperationResponse(operation=shown(begun))

    async def get(self, authorization: str | None, request: GetOperationRequest) -> GetOperationResponse:
        """How far it has come."""
        operation_id = storable(request.operation_id, "operation_id")
        caller = await self._access.authenticate(authorization)
        return GetOperationResponse(operation=shown(await self._operations.get(operation_id, caller)))

    async def list(self, authorization: str | None, request: ListOperationsRequest) -> ListOperationsResponse:
        """The latest first."""
        size = size_of(request.page_size, default=50, largest=200)
        state = facts_of(request).get("state")
        caller = await self._access.authenticate(authorization)
        found = await self._operations.list(caller, state=state, limit=size)
        return ListOperationsResponse(operations=[shown(operation) for operation in found])

    async def abort(self, authorization: str | None, request: AbortOperationRequest) -> AbortOperationResponse:
        """End it."""
        operation_id = storable(request.operation_id, "operation_id")
        caller = await self._access.authenticate(authorization)
        aborted = await self._unbroken.run(self._operations.abort(operation_id, caller))
        return AbortOperationResponse(operation=shown(aborted))


def shown(operation: Mapping[str, Any]) -> Operation:
    """The message for an operation."""
    return fill(Operation(), operation)
