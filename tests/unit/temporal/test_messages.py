"""The message of a start: what one release writes, another reads."""

from __future__ import annotations

import orjson
import pytest
from temporalio.api.common.v1 import Payload

from backends.temporal.messages import ActivityOptions, RunTask
from backends.temporal.payloads import data_converter

FULL = RunTask(
    task_id="t1",
    epoch=3,
    task_type="add_episode",
    group_id="g",
    payload={"content": "Grüße, 你好, 🙂", "nested": {"a": [1, None, {"b": True}]}, "large": 2**53},
    trace={"traceparent": "00-1-2-01"},
    options=ActivityOptions(queue="q", start_to_close=660.0, heartbeat=30.0),
)


async def decoded(payloads: list[Payload]) -> RunTask:
    (message,) = await data_converter().decode(payloads, [RunTask])
    assert isinstance(message, RunTask)
    return message


@pytest.mark.parametrize("message", [FULL, RunTask("t", 1, "x", "g"), RunTask("t", 1, "x", "g", payload={})])
async def test_it_arrives_unchanged(message: RunTask) -> None:
    assert await decoded(await data_converter().encode([message])) == message


async def test_an_older_gateways_message_is_read() -> None:
    (payload,) = await data_converter().encode([FULL])
    payload.data = orjson.dumps({"task_id": "t", "epoch": 1, "task_type": "x", "group_id": "g"})
    assert await decoded([payload]) == RunTask("t", 1, "x", "g")


async def test_a_newer_gateways_message_is_read() -> None:
    (payload,) = await data_converter().encode([FULL])
    payload.data = orjson.dumps({**orjson.loads(payload.data), "later": {"more": 1}})
    assert await decoded([payload]) == FULL


async def test_it_is_plain_json() -> None:
    """Operators read it in Temporal's UI."""
    (payload,) = await data_converter().encode([RunTask("t", 1, "x", "g", payload={"a": 1})])
    assert payload.metadata["encoding"] == b"json/plain"
    assert orjson.loads(payload.data)["payload"] == {"a": 1}
