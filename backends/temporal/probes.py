"""Probes: standalone activities of a type of their own, which run no task."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, timedelta
from typing import Any, Final

from temporalio.api.activity.v1 import ActivityExecutionInfo
from temporalio.api.common.v1 import ActivityType, RetryPolicy
from temporalio.api.enums.v1 import ActivityExecutionStatus as Status
from temporalio.api.enums.v1 import ActivityIdConflictPolicy, ActivityIdReusePolicy, TimeoutType
from temporalio.api.failure.v1 import Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeActivityExecutionRequest, StartActivityExecutionRequest

from backends.errors import CapabilityMissing
from backends.port import WorkflowStart
from backends.rehearsal import ProbeAnswer
from backends.temporal import names, starts
from backends.temporal.connection import Connection, Session
from backends.temporal.errors import AlreadyExists, Purpose, Unsupported
from backends.temporal.executions import first_value
from backends.temporal.messages import Probe
from backends.temporal.payloads import carried

#: Longest time that a worker may spend on a probe: waiting for a slot, reading the payload, `rehearse`.
RUN = timedelta(seconds=30)
#: Errors of workers that could not answer a probe, and the SDK's for an activity type that it does not know.
STOPPED: Final = "WorkerStopped"
_TYPE_UNKNOWN: Final = "NotFoundError"
_TEXTS: Final = ("outcome", "detail", "worker_id")
_DURATIONS: Final = ("decode_seconds", "run_seconds")
_FIELDS: Final = (*_TEXTS, *_DURATIONS)


class Probes:
    """On a connection of the engine. `inline_bytes`: as the engine's."""

    def __init__(self, connection: Connection, inline_bytes: int) -> None:
        self._connection = connection
        self._inline_bytes = inline_bytes

    async def send(self, start: WorkflowStart, *, wait: timedelta, by_reference: bool) -> None:
        """See `backends.rehearsal.RehearsalPort.send_probe`."""
        session = await self._connection.session()
        if not session.standalone or start.workflow is not None:
            raise CapabilityMissing("only tasks that run as standalone activities are probed")
        request = await self._request(session, start, wait, by_reference)
        try:
            await self._connection.call(
                session.client.workflow_service.start_activity_execution, request, Purpose.START
            )
        except AlreadyExists:
            return
        except Unsupported as error:
            raise CapabilityMissing(error.message) from error

    async def _request(
        self, session: Session, start: WorkflowStart, wait: timedelta, by_reference: bool
    ) -> StartActivityExecutionRequest:
        """One attempt, on the task's own queue."""
        ref, client = start.ref, session.client
        payload = None if by_reference else carried(start.payload, self._inline_bytes)
        message = Probe(ref.task_id, ref.task_type, ref.group_id, payload)
        request = StartActivityExecutionRequest(
            namespace=session.namespace,
            identity=client.identity,
            request_id=names.probe_id(ref.task_id),
            activity_id=names.probe_id(ref.task_id),
            activity_type=ActivityType(name=names.PROBE),
            task_queue=TaskQueue(name=start.queue),
            id_reuse_policy=ActivityIdReusePolicy.ACTIVITY_ID_REUSE_POLICY_REJECT_DUPLICATE,
            id_conflict_policy=ActivityIdConflictPolicy.ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING,
            retry_policy=RetryPolicy(maximum_attempts=1),
            priority=starts.priority(start),
            input=await starts.encoded(message, client.data_converter),
        )
        request.schedule_to_start_timeout.FromTimedelta(wait)
        request.start_to_close_timeout.FromTimedelta(RUN)
        request.schedule_to_close_timeout.FromTimedelta(wait + RUN)
        return request

    async def answer(self, task_id: str) -> ProbeAnswer | None:
        """See `backends.rehearsal.RehearsalPort.probe_answer`."""
        session = await self._connection.session()
        request = DescribeActivityExecutionRequest(
            namespace=session.namespace, activity_id=names.probe_id(task_id), include_outcome=True
        )
        service = session.client.workflow_service
        found = await self._connection.call(service.describe_activity_execution, request, Purpose.READ)
        if found.info.status == Status.ACTIVITY_EXECUTION_STATUS_RUNNING:
            return None
        if found.info.status == Status.ACTIVITY_EXECUTION_STATUS_COMPLETED:
            told = await first_value(found.outcome.result, session.client.data_converter)
            return _answered(told if isinstance(told, dict) else {}, _waited(found.info))
        if found.outcome.HasField("failure"):
            return _failed(found.outcome.failure)
        return ProbeAnswer("cancelled")


def _answered(told: dict[str, Any], waited: float | None) -> ProbeAnswer:
    """The answer of a worker; of a newer worker's answer only the fields that are known here."""
    slot = told.get("slot_seconds")
    known: dict[str, Any] = {"outcome": "not_understood"}
    known |= {name: told[name] for name in _TEXTS if isinstance(told.get(name), str)}
    known |= {name: told[name] for name in _DURATIONS if isinstance(told.get(name), float)}
    queue = waited + slot if waited is not None and isinstance(slot, float) else waited
    return ProbeAnswer(**known, queue_seconds=queue)


def _failed(failure: Failure) -> ProbeAnswer:
    if failure.HasField("timeout_failure_info"):
        by_queue = failure.timeout_failure_info.timeout_type != TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
        return ProbeAnswer("not_taken" if by_queue else "lost")
    kind = failure.application_failure_info.type
    if kind == _TYPE_UNKNOWN:
        return ProbeAnswer("worker_too_old")
    if kind == STOPPED:
        return ProbeAnswer("worker_stopped")
    return ProbeAnswer("not_understood", failure.message[:300])


def _waited(info: ActivityExecutionInfo) -> float | None:
    """By the server's clock."""
    if not info.HasField("last_started_time"):
        return None
    began = info.last_started_time.ToDatetime(UTC) - info.schedule_time.ToDatetime(UTC)
    return max(began.total_seconds(), 0.0)


def report(answer: ProbeAnswer, slot_seconds: float) -> dict[str, Any]:
    """What a worker tells; `slot_seconds`: how long it waited for a free slot."""
    facts = asdict(answer)
    return {**{name: facts[name] for name in _FIELDS}, "slot_seconds": slot_seconds}
