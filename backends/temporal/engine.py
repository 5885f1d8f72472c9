"""`TemporalEngine`: the port on Temporal.

A task is a standalone activity; where the server has none, a workflow of one activity with the same id. What a
task is was decided when it was started, so everything but a start looks for both.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.converter import PayloadCodec

from backends.errors import CapabilityMissing, EngineUnavailable, WorkflowNotFound
from backends.port import Capability, EndedWorkflow, Stock, WorkflowRef, WorkflowStart, WorkflowStatus
from backends.temporal import names, starts
from backends.temporal.activity_executions import ActivityExecutions
from backends.temporal.connection import Connection, Session
from backends.temporal.errors import AlreadyExists, AttributesUnknown, Purpose, Unsupported
from backends.temporal.executions import Executions
from backends.temporal.messages import RunTask
from backends.temporal.payloads import data_converter
from backends.temporal.rehearsal import TemporalRehearsal
from backends.temporal.security import Security
from backends.temporal.server import TemporalServer
from backends.temporal.workflow_executions import WorkflowExecutions

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

_ASKED_AT_ONCE = 16
_CAPABILITIES = frozenset(
    {
        Capability.FENCED,
        Capability.PRIORITY,
        Capability.FAIRNESS,
        Capability.CANCEL_RUNNING,
        Capability.DIRECT,
        Capability.REQUEUE,
        Capability.RESULT,
        Capability.WORKFLOWS,
    }
)


class TemporalEngine:
    """`WorkflowEnginePort` on one Temporal namespace.

    Nothing is opened before the first call, and a server that comes up later is found by the call after. `timeout`
    (seconds) bounds every call but `get_workflow_result`. Payloads of at most `inline_payload_bytes` travel by
    value, larger ones are read from PostgreSQL by the worker. `standalone`: use standalone activities (True), the
    one-activity workflow (False), or ask the server (None). `codec` encrypts payloads; workers need the same.
    `security`: TLS and an API key; by default neither.

    `heartbeat`: a task whose worker is silent for so long is given to another. It is the last net, under lost
    workers that no gateway noticed and under tasks that were just being handed to a worker when it went; leases act
    within a second. Each running task beats at least three times in it, and a beat costs Temporal and its
    database about 4 ms of processor time: with ten thousand running tasks make it longer.
    """

    def __init__(
        self,
        address: str,
        namespace: str,
        *,
        security: Security | None = None,
        timeout: float = 5.0,
        inline_payload_bytes: int = 128 * 1024,
        standalone: bool | None = None,
        heartbeat: timedelta = timedelta(seconds=30),
        codec: PayloadCodec | None = None,
    ) -> None:
        self._connection = Connection(
            address,
            namespace,
            security=security or Security(),
            identity=f"{names.GATEWAY_IDENTITY}{os.getpid()}@{socket.gethostname()}",
            timeout=timeout,
            converter=data_converter(codec),
            standalone=standalone,
        )
        self._inline_bytes = inline_payload_bytes
        self._standalone = standalone
        self._activities = ActivityExecutions(self._connection, heartbeat)
        self._workflows = WorkflowExecutions(self._connection, heartbeat)
        self.rehearsal = TemporalRehearsal(self._connection, inline_payload_bytes, heartbeat)
        """Checks starts without making them."""
        self._warned_about_attributes = False

    @property
    def name(self) -> str:
        return names.ENGINE

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Signals need a workflow to receive them, so they are promised only where every task is one.

        There fairness is not: the conformance suite saw the activity of a workflow wait behind a crowd.
        """
        if self._standalone is False:
            return _CAPABILITIES - {Capability.FAIRNESS} | {Capability.SIGNAL}
        return _CAPABILITIES

    async def start_workflow(self, start: WorkflowStart) -> None:
        session = await self._connection.session()
        message = starts.message_of(start, self._inline_bytes)
        stands_alone = session.standalone and start.workflow is None
        shape: Executions = self._activities if stands_alone else self._workflows
        try:
            try:
                await self._start(shape, session, start, message)
            except Unsupported:
                if shape is self._workflows or self._standalone:
                    raise
                log.warning("Temporal refuses standalone activities: each task runs in a workflow of one activity")
                session.standalone = False
                await self._start(self._workflows, session, start, message)
        except AlreadyExists:
            log.debug("start %s was made before", start.ref.workflow_id)
        except Unsupported as error:
            raise EngineUnavailable(error.message) from error

    async def _start(self, shape: Executions, session: Session, start: WorkflowStart, message: RunTask) -> None:
        try:
            await shape.start(session, start, message, attributes=bool(session.attributes))
        except AttributesUnknown as error:
            if not self._warned_about_attributes:
                self._warned_about_attributes = True
                log.warning("tasks start without search attributes: %s", error)
            await shape.start(session, start, message, attributes=False)

    async def get_workflow_status(self, ref: WorkflowRef) -> WorkflowStatus | None:
        try:
            return await self._either(lambda shape, session: shape.status(session, ref.workflow_id))
        except WorkflowNotFound:
            return None

    async def get_workflow_result(self, ref: WorkflowRef) -> Any:
        return await self._either(lambda shape, session: shape.result(session, ref.workflow_id))

    async def cancel_workflow(self, ref: WorkflowRef, reason: str) -> bool:
        try:
            return await self._either(lambda shape, session: shape.cancel(session, ref.workflow_id, reason))
        except WorkflowNotFound:
            return False

    async def requeue_workflow(self, ref: WorkflowRef, reason: str, *, held_by: str | None = None) -> bool:
        """An attempt that another worker is given in the moment between Temporal's answer and the request is taken from
        that: the request names no attempt. Only one claim is granted all the same.
        """
        try:
            return await self._either(lambda shape, session: shape.requeue(session, ref.workflow_id, reason, held_by))
        except WorkflowNotFound:
            return False

    async def signal_workflow(self, ref: WorkflowRef, signal: str, payload: Any) -> None:
        session = await self._connection.session()
        try:
            await self._workflows.signal(session, ref.workflow_id, signal, payload)
        except WorkflowNotFound:
            if await self.get_workflow_status(ref) is None:
                raise
            raise CapabilityMissing("a task that runs as a standalone activity takes no signals") from None

    async def list_held(self, worker_id: str) -> Sequence[str]:
        """None: Temporal keeps no list by worker."""
        return []

    async def release_worker(self, worker_id: str, ended: Mapping[WorkflowRef, WorkflowStatus] | None = None) -> int:
        """Does nothing: Temporal keeps no list by worker. A task that was not claimed is requeued by its id."""
        return 0

    async def find_lost(self, refs: Sequence[WorkflowRef]) -> list[WorkflowRef]:
        """Asks for each, some at a time."""
        limit = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def is_lost(ref: WorkflowRef) -> bool:
            async with limit:
                return await self.get_workflow_status(ref) is None

        lost = await asyncio.gather(*map(is_lost, refs))
        return [ref for ref, gone in zip(refs, lost, strict=True) if gone]

    async def withdraw_not_begun(self, refs: Sequence[WorkflowRef]) -> list[WorkflowRef]:
        raise CapabilityMissing("Temporal does not say what it has handed to a worker; the claim decides there.")

    async def keep_fresh(self) -> int:
        """Returns nothing: only the gateway's own workers receive tasks from Temporal."""
        return 0

    async def list_ended(self, since: datetime, *, completed: bool = True) -> Sequence[EndedWorkflow]:
        session = await self._connection.session()
        found: list[EndedWorkflow] = []
        for shape in self._shapes(session):
            try:
                found += await shape.ended(session, since, completed=completed)
            except Unsupported:
                continue
        return found

    async def count_open(self) -> int | None:
        session = await self._connection.session()
        found = 0
        for shape in self._shapes(session):
            try:
                found += await shape.count_open(session)
            except Unsupported:
                continue
        return found

    async def list_open(self) -> Sequence[str]:
        """Ids of our executions that have not ended, by an index that may lag behind. Beside the port."""
        session = await self._connection.session()
        found: list[str] = []
        for shape in self._shapes(session):
            try:
                found += await shape.open_ids(session)
            except Unsupported:
                continue
        return found

    async def retention(self) -> timedelta:
        """How long the namespace remembers what ended. Beside the port."""
        session = await self._connection.session()
        config = (await self._connection.describe_namespace(session.client)).config
        return config.workflow_execution_retention_ttl.ToTimedelta()

    async def take_stock(self) -> Sequence[Stock]:
        return []

    async def get_incarnation(self) -> str:
        """The namespace's id: another one means another database."""
        session = await self._connection.session()
        return (await self._connection.describe_namespace(session.client)).namespace_info.id

    async def check_health(self) -> None:
        await self.get_incarnation()

    async def describe(self) -> TemporalServer:
        """Which server it is, and what it can do in this namespace. Raises `EngineUnavailable`."""
        session = await self._connection.session()
        rpc = session.client.workflow_service.get_system_info
        answer = await self._connection.call(rpc, GetSystemInfoRequest(), Purpose.READ)
        missing = tuple(name for name in names.ATTRIBUTES if name not in session.attributes)
        return TemporalServer(answer.server_version, session.standalone, missing)

    async def close(self) -> None:
        await self._connection.close()

    async def _either(self, ask: Callable[[Executions, Session], Awaitable[Answer]]) -> Answer:
        """The answer of the shape that has the task, the likelier one asked first. Raises `WorkflowNotFound`."""
        session = await self._connection.session()
        missing: WorkflowNotFound | None = None
        for shape in self._shapes(session):
            try:
                return await ask(shape, session)
            except WorkflowNotFound as error:
                missing = error
            except Unsupported:
                continue
        raise missing or WorkflowNotFound()

    def _shapes(self, session: Session) -> tuple[Executions, Executions]:
        if session.standalone:
            return self._activities, self._workflows
        return self._workflows, self._activities
