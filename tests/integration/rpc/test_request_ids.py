"""Each call has an id, as a request over HTTP: the client's own, or a new one."""

from __future__ import annotations

import logging
import re
from typing import Any

import grpc
import pytest
from taskgate.v1 import GetRequest, ListRequest

from gateway.observability.logs import JsonFormatter
from gateway.rpc import failures
from workers.testing.waiting import eventually


async def id_of(call: Any) -> str:
    """Of a call that has ended."""
    return dict(await call.trailing_metadata())["x-request-id"]


async def test_the_clients_own_id_comes_back(face: Any) -> None:
    call = face.tasks.List(ListRequest(), metadata=[*face.ann, ("x-request-id", "abc-1")])
    await call
    assert await id_of(call) == "abc-1"


@pytest.mark.parametrize("given", [[], [("x-request-id", 'a"b')], [("x-request-id", "x" * 129)]])
async def test_another_one_is_made(face: Any, given: list[tuple[str, str]]) -> None:
    """Also where the client's could not be logged as it is."""
    call = face.tasks.List(ListRequest(), metadata=[*face.ann, *given])
    await call
    assert re.fullmatch("[0-9a-f]{32}", await id_of(call))


async def test_a_refused_call_has_it_beside_the_details(face: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await face.tasks.Get(GetRequest(task_id="none"), metadata=[*face.ann, ("x-request-id", "abc-2")])
    trailing = dict(refused.value.trailing_metadata() or ())
    assert trailing["x-request-id"] == "abc-2"
    assert failures.DETAILS_KEY in trailing


async def test_lines_of_the_log_about_a_call_have_it(face: Any, monkeypatch: Any, caplog: Any) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(face.gateway.task_log.__class__, "read", broken)
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(JsonFormatter().format(record))  # type: ignore[method-assign]
    logging.getLogger("gateway.rpc").addHandler(handler)
    try:
        with pytest.raises(grpc.aio.AioRpcError):
            await face.tasks.Get(GetRequest(task_id="x"), metadata=[*face.ann, ("x-request-id", "abc-3")])
    finally:
        logging.getLogger("gateway.rpc").removeHandler(handler)
    assert any('"request_id": "abc-3"' in line or '"request_id":"abc-3"' in line for line in lines), lines


async def test_calls_are_counted_by_outcome(face: Any) -> None:
    def count(outcome: str) -> float:
        page = face.gateway.telemetry.metrics.render().decode()
        return float(re.search(rf'taskgate_requests_total{{face="grpc",outcome="{outcome}"}} (\S+)', page)[1])  # type: ignore[index]

    before = count("answered"), count("failed")
    await face.tasks.List(ListRequest(), metadata=face.ann)
    with pytest.raises(grpc.aio.AioRpcError):
        await face.tasks.Get(GetRequest(task_id="none"), metadata=face.ann)

    async def counts() -> tuple[float, float]:
        return count("answered"), count("failed")

    # A call is counted once its answer has left.
    await eventually(counts, lambda seen: seen == (before[0] + 2, before[1]), pause=0.01)
