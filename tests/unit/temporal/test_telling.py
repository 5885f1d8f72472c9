"""Ends of nodes reach their workflow as an update, or, when nobody takes that, as a signal."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import Failure
from temporalio.api.update.v1 import Outcome
from temporalio.api.workflowservice.v1 import UpdateWorkflowExecutionResponse
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from backends.temporal import names
from backends.temporal.connection import Connection, Session
from backends.temporal.workflow_executions import WorkflowExecutions

TAKEN = UpdateWorkflowExecutionResponse(outcome=Outcome(success=Payloads()))
#: An older worker does not know the update.
REFUSED = UpdateWorkflowExecutionResponse(outcome=Outcome(failure=Failure(message="unknown update")))
#: Nobody has seen it yet.
ADMITTED = UpdateWorkflowExecutionResponse()
NOBODY = RPCError("deadline", RPCStatusCode.DEADLINE_EXCEEDED, b"")


class Server:
    """Answers updates with `answer`; remembers what it was asked."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.asked: list[str] = []

    async def update_workflow_execution(self, request: Any, **_: Any) -> Any:
        self.asked.append(f"update {request.request.input.name}")
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def signal_workflow_execution(self, request: Any) -> None:
        self.asked.append(f"signal {request.signal_name}")

    async def call(self, rpc: Any, request: Any, _purpose: Any) -> None:
        await rpc(request)


async def told(answer: Any, signal: str) -> list[str]:
    server = Server(answer)
    client = SimpleNamespace(workflow_service=server, data_converter=DataConverter.default, identity="gateway")
    session = cast(Session, SimpleNamespace(client=client, namespace="n"))
    executions = WorkflowExecutions(cast(Connection, server), timedelta(seconds=30))
    await executions.signal(session, "task-1", signal, [["a", None, "c", False]])
    return server.asked


async def test_an_update_that_is_taken_is_enough() -> None:
    assert await told(TAKEN, names.DAG_ENDED) == ["update told"]


@pytest.mark.parametrize("answer", [REFUSED, ADMITTED, NOBODY, TimeoutError()])
async def test_else_a_signal_waits_for_a_worker(answer: Any) -> None:
    assert await told(answer, names.DAG_ENDED) == ["update told", "signal ended"]


async def test_other_signals_are_signals() -> None:
    assert await told(TAKEN, "other") == ["signal other"]
