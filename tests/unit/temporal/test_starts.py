"""The two requests that a start becomes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import (
    ActivityIdConflictPolicy,
    ActivityIdReusePolicy,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)
from temporalio.client import Client
from temporalio.converter import DataConverter

from backends.port import RetryPolicy, WorkflowRef, WorkflowStart
from backends.temporal import names, starts
from backends.temporal.messages import RunTask
from backends.temporal.payloads import data_converter

HEARTBEAT = timedelta(seconds=30)
START = WorkflowStart(
    ref=WorkflowRef("t1", 2, "group", "add_episode"),
    payload={"content": "text"},
    timeout=timedelta(seconds=600),
    tenant_id="acme",
    project_id="p1",
    queue="tenant-acme-add_episode",
    priority=2,
    fairness_key="acme",
    fairness_weight=2.5,
    retry=RetryPolicy(initial=timedelta(seconds=2), maximum=timedelta(seconds=90)),
    trace={"traceparent": "x"},
)


@dataclass
class ClientStub:
    """All that a request takes from a client."""

    identity: str = "taskgate-gateway-1@host"
    data_converter: DataConverter = field(default_factory=data_converter)


CLIENT = cast(Client, ClientStub())


async def message_in(payloads: Payloads) -> RunTask:
    (message,) = await data_converter().decode(payloads.payloads, [RunTask])
    return cast(RunTask, message)


async def test_an_activity() -> None:
    message = starts.message_of(START, 1000)
    request = await starts.activity_request(START, message, HEARTBEAT, "ns", CLIENT)
    assert request.namespace == "ns"
    assert request.activity_id == request.request_id == "task-t1-2"
    assert request.activity_type.name == names.RUN_TASK
    assert request.task_queue.name == "tenant-acme-add_episode"
    assert request.id_reuse_policy == ActivityIdReusePolicy.ACTIVITY_ID_REUSE_POLICY_REJECT_DUPLICATE
    assert request.id_conflict_policy == ActivityIdConflictPolicy.ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING
    assert request.start_to_close_timeout.ToTimedelta() > START.timeout
    assert not request.HasField("schedule_to_close_timeout")
    assert request.heartbeat_timeout.ToTimedelta() == HEARTBEAT
    assert request.retry_policy.maximum_attempts == 0
    assert request.retry_policy.backoff_coefficient == 1
    assert request.retry_policy.initial_interval.ToTimedelta() == timedelta(seconds=1)
    assert request.priority.priority_key == 2
    assert request.priority.fairness_key == "acme"
    assert request.priority.fairness_weight == pytest.approx(2.5)
    assert await message_in(request.input) == RunTask(
        "t1", 2, "add_episode", "group", {"content": "text"}, {"traceparent": "x"}
    )


async def test_a_workflow_carries_the_options_of_its_activity() -> None:
    request = await starts.workflow_request(START, starts.message_of(START, 1000), HEARTBEAT, "ns", CLIENT)
    assert request.workflow_id == request.request_id == "task-t1-2"
    assert request.workflow_type.name == names.RUN_TASK
    assert request.task_queue.name == names.WORKFLOW_QUEUE
    assert request.workflow_id_reuse_policy == WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
    assert request.workflow_id_conflict_policy == WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
    options = (await message_in(request.input)).options
    assert options is not None
    assert options.queue == "tenant-acme-add_episode"
    assert options.start_to_close > 600
    assert (options.heartbeat, options.retry_initial, options.retry_maximum) == (30, 1, 1)


def test_a_large_payload_travels_by_reference() -> None:
    assert starts.message_of(START, 5).payload is None


@pytest.mark.parametrize(("given", "sent"), [(0, 1), (-3, 1), (1, 1), (5, 5), (9, 5)], ids=lambda value: str(value))
def test_priority_stays_within_bounds(given: int, sent: int) -> None:
    assert starts.priority(replace(START, priority=given)).priority_key == sent


def test_fairness_keys_are_short_and_stay_apart() -> None:
    def key(tenant: str) -> str:
        return starts.priority(replace(START, fairness_key=tenant)).fairness_key

    assert key("a" * 64) == "a" * 64
    long, other = key("ü" * 64), key("ü" * 64 + "x")
    assert len(long.encode()) <= 64
    assert long != other


def test_weights_stay_positive() -> None:
    assert starts.priority(replace(START, fairness_weight=0.0)).fairness_weight > 0


def attributes(start: WorkflowStart, known: set[str]) -> dict[str, Any]:
    encoded = starts.search_attributes(start, known).indexed_fields
    return {name: data_converter().payload_converter.from_payload(value) for name, value in encoded.items()}


def test_search_attributes() -> None:
    assert attributes(START, set(names.ATTRIBUTES)) == {
        "TaskgateTenant": "acme",
        "TaskgateProject": "p1",
        "TaskgateTaskType": "add_episode",
        "TaskgateTaskId": "t1",
        "TaskgatePriority": 2,
    }


def test_search_attributes_that_the_namespace_lacks_stay_away() -> None:
    assert attributes(START, {"TaskgateTenant"}) == {"TaskgateTenant": "acme"}
    assert attributes(replace(START, tenant_id=None, project_id=""), {"TaskgateTenant", "TaskgateProject"}) == {}


def test_search_attributes_fit_their_column() -> None:
    assert len(attributes(replace(START, tenant_id="x" * 400), {"TaskgateTenant"})["TaskgateTenant"]) == 255
