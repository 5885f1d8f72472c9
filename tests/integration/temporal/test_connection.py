"""Servers that are not there, go away, come back, or lack something."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from backends.errors import EngineUnavailable, StartUncertain
from backends.port import WorkflowState
from backends.temporal import names
from backends.temporal.engine import TemporalEngine
from workers.testing.refusing_server import RefusingServer
from workers.testing.temporal_bench import TemporalBench
from workers.testing.waiting import eventually

NOWHERE = "127.0.0.1:1"


async def silent_server() -> asyncio.Server:
    """Accepts connections and says nothing, as a host behind a broken network does."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    return await asyncio.start_server(listen, "127.0.0.1", 0)


def test_building_an_engine_reaches_nothing() -> None:
    assert TemporalEngine(NOWHERE, "taskgate").name == "temporal"


async def test_nobody_listens(temporal: TemporalBench) -> None:
    engine = temporal.engine(NOWHERE)
    start = temporal.start()
    for call in (
        engine.start_workflow(start),
        engine.get_workflow_status(start.ref),
        engine.cancel_workflow(start.ref, "x"),
        engine.requeue_workflow(start.ref, "x"),
        engine.check_health(),
        engine.get_incarnation(),
    ):
        with pytest.raises(EngineUnavailable):
            await call


async def test_a_silent_server_holds_nobody_up(temporal: TemporalBench) -> None:
    server = await silent_server()
    port = server.sockets[0].getsockname()[1]
    engine = temporal.engine(f"127.0.0.1:{port}", timeout=0.5)
    began = time.monotonic()
    results = await asyncio.gather(
        *(engine.start_workflow(temporal.start()) for _ in range(20)), return_exceptions=True
    )
    assert time.monotonic() - began < 3
    assert {type(result) for result in results} == {EngineUnavailable}
    server.close()


async def test_a_server_that_comes_up_later_is_found(temporal: TemporalBench) -> None:
    wire = await temporal.proxy()
    await wire.refuse()
    engine = temporal.engine(f"{wire.host}:{wire.port}", timeout=2.0)
    with pytest.raises(EngineUnavailable):
        await engine.check_health()
    await wire.restore()
    await engine.check_health()


async def test_a_connection_that_was_cut_is_not_noticed(temporal: TemporalBench) -> None:
    wire = await temporal.proxy()
    engine, start = temporal.engine(f"{wire.host}:{wire.port}", timeout=2.0), temporal.start()
    await engine.check_health()
    await wire.refuse()
    await wire.restore()
    await engine.start_workflow(start)
    assert await engine.get_workflow_status(start.ref) is not None


async def test_a_lost_answer_is_said_to_be_lost(temporal: TemporalBench) -> None:
    wire = await temporal.proxy()
    engine, start = temporal.engine(f"{wire.host}:{wire.port}", timeout=0.5), temporal.start()
    await engine.check_health()
    wire.swallow_answers()
    with pytest.raises(StartUncertain):
        await engine.start_workflow(start)
    with pytest.raises(EngineUnavailable):
        await engine.get_workflow_status(start.ref)
    await wire.restore()
    # It had arrived; a repetition is the same start.
    await engine.start_workflow(start)
    status = await engine.get_workflow_status(start.ref)
    assert status is not None
    assert status.state is WorkflowState.QUEUED


async def test_a_connection_that_vanished_costs_one_wait(temporal: TemporalBench) -> None:
    """What was under way waits for its limit; what comes after goes by a new connection."""
    wire = await temporal.proxy()
    engine, starts = temporal.engine(f"{wire.host}:{wire.port}", timeout=1.0), [temporal.start() for _ in range(6)]
    await engine.check_health()
    wire.vanish()
    began = time.monotonic()
    results = await asyncio.gather(*(engine.start_workflow(start) for start in starts), return_exceptions=True)
    assert time.monotonic() - began < 3
    assert {type(result) for result in results} == {StartUncertain}
    began = time.monotonic()
    for start in starts:
        await engine.start_workflow(start)
    assert time.monotonic() - began < 3


async def test_a_server_without_room_is_asked_once_for_each_start(temporal: TemporalBench) -> None:
    """RESOURCE_EXHAUSTED: nothing was done, and neither adapter nor SDK asks again; the pause is the dispatcher's."""
    wire, refusing, starts = await temporal.proxy(), RefusingServer(), [temporal.start() for _ in range(5)]
    await refusing.start()
    engine = temporal.engine(f"{wire.host}:{wire.port}", timeout=5.0)
    await engine.check_health()
    host, _, port = refusing.address.rpartition(":")
    await wire.refuse()
    wire.lead_to(host, int(port))
    await wire.open()
    results = await asyncio.gather(*(engine.start_workflow(start) for start in starts), return_exceptions=True)
    assert {type(result) for result in results} == {EngineUnavailable}
    assert refusing.calls["StartActivityExecution"] == len(starts)
    await refusing.stop()


async def test_a_missing_namespace_is_named(temporal: TemporalBench) -> None:
    namespace = f"missing-{secrets.token_hex(4)}"
    engine = temporal.engine(namespace=namespace)
    with pytest.raises(EngineUnavailable, match=namespace):
        await engine.start_workflow(temporal.start())


async def test_search_attributes_are_registered_where_they_are_missing(temporal: TemporalBench) -> None:
    namespace = f"bare-{secrets.token_hex(4)}"
    client = await Client.connect(temporal.address, namespace=namespace)
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=Duration(seconds=86400))
    )
    engine, start = temporal.engine(namespace=namespace), temporal.start()

    async def started() -> bool:
        try:
            await engine.start_workflow(start)
        except EngineUnavailable:
            return False  # parts of the server do not know the namespace yet
        return True

    await eventually(started, bool, within=60)

    async def found() -> bool:
        # The attributes are usable some time after they were added; until then tasks start without them.
        await engine.start_workflow(temporal.start())
        query = f"{names.TENANT_ATTRIBUTE} = '{temporal.tenant}'"
        with suppress(RPCError):
            return bool([one async for one in client.list_activities(query)])
        return False

    await eventually(found, bool, within=60, pause=0.2)


async def test_an_engine_works_again_after_it_was_closed(temporal: TemporalBench) -> None:
    engine = temporal.engine()
    await engine.check_health()
    await engine.close()
    await engine.close()
    await engine.check_health()
