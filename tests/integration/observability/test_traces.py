"""One trace from a client's request to the call that a handler makes, on both backends; and what is told to nobody."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
from google.protobuf.json_format import ParseDict
from opentelemetry.instrumentation.utils import suppress_instrumentation
from taskgate.v1 import NewTask, SubmitRequest, TaskServiceStub

import contracts
from contracts.calling import TYPE
from contracts.receiver import receiving
from contracts.world import PATIENCE, Servers, World
from deploy.local.jaeger import JaegerPart
from deploy.local.ports import free_port
from gateway.observability.instrumentation import restore_libraries
from gateway.observability.logs import NOISY, JsonFormatter
from gateway.rpc.server import GrpcServer
from gateway.settings import Settings
from workers.testing.waiting import eventually

#: Building Jaeger takes minutes, once.
pytestmark = pytest.mark.timeout(1500)


@pytest_asyncio.fixture(scope="module")
async def jaeger(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[JaegerPart]:
    part = JaegerPart(tmp_path_factory.mktemp("jaeger"), free_port(), lambda _: None)
    await part.start()
    yield part
    await part.kill()


class Outside(httpx.AsyncBaseTransport):
    """That of a client in this process, which is not part of what is traced."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with suppress_instrumentation():
            return await self._transport.handle_async_request(request)


class TracedWorld(World):
    """Everything is sampled."""

    def _client(self, url: str, headers: dict[str, str]) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=url, headers=headers, timeout=PATIENCE, transport=Outside(self._transport), trust_env=False
        )

    def settings(self, **more: Any) -> Settings:
        traced = {"trace_share": 1.0, "handlers": "contracts.calling", "grpc_port": 0}
        return super().settings(**{**traced, **more})


class IsolatedWorld(TracedWorld):
    """Handlers have processes of their own."""

    def settings(self, **more: Any) -> Settings:
        return super().settings(**{"isolated_types": TYPE, **more})


@pytest.fixture(params=["off", "live"], ids=["redis", "temporal"])
async def world(
    request: pytest.FixtureRequest,
    own_servers: Servers,
    jaeger: JaegerPart,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[TracedWorld]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", jaeger.otlp_url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    kind, stage = (IsolatedWorld, "off") if request.param == "isolated" else (TracedWorld, request.param)
    monkeypatch.setenv("PYTHONPATH", str(Path(contracts.__file__).parents[1]))
    async with kind(stage, own_servers, tmp_path).running() as world:
        yield world
    restore_libraries()


async def spans_of(jaeger: JaegerPart, trace_id: str, *names: str) -> dict[str, dict[str, Any]]:
    """The spans with these names, once all are there."""

    async def read() -> dict[str, dict[str, Any]]:
        return {span["operationName"]: span for span in await jaeger.trace(trace_id)}

    return await eventually(read, lambda found: found.keys() >= set(names), within=PATIENCE, pause=0.1)


def parent(span: dict[str, Any]) -> str | None:
    parents = [one["spanID"] for one in span["references"] if one["refType"] == "CHILD_OF"]
    return parents[0] if parents else None


def check_chain(spans: dict[str, dict[str, Any]], entry: str, client: str, backend: str, task_id: str) -> None:
    """From the client's span to the handler's call."""
    names = [entry, f"create {TYPE}", f"send {TYPE}", f"process {TYPE}", "settle completed"]
    chain = [spans[name] for name in names]
    assert [parent(span) for span in chain] == [client, *(span["spanID"] for span in chain[:-1])]
    assert parent(spans["GET"]) == spans[f"process {TYPE}"]["spanID"]
    process = spans[f"process {TYPE}"]
    assert [one["spanID"] for one in process["references"] if one["refType"] == "FOLLOWS_FROM"] == [
        spans[f"create {TYPE}"]["spanID"]
    ]
    kinds = {span["operationName"].partition(" ")[0]: span["tags"]["span.kind"] for span in chain}
    assert (kinds["create"], kinds["send"], kinds["process"]) == ("producer", "producer", "consumer")
    for span in chain[1:]:
        assert span["tags"]["messaging.message.id"] == task_id
        assert span["tags"]["messaging.operation.type"] == span["operationName"].partition(" ")[0]
    assert process["tags"]["taskgate.backend"] == backend
    assert (spans[entry]["service"], process["service"]) == ("taskgate-gateway", "taskgate-worker")


def backend_of(world: World) -> str:
    return "redis" if world.stage == "off" else "temporal"


async def test_a_request_over_http(world: TracedWorld, jaeger: JaegerPart) -> None:
    home, trace_id, client = await world.people.household(), secrets.token_hex(16), secrets.token_hex(8)
    async with receiving() as model:
        answer = await world.client(home.owner).post(
            "/gateway/v1/tasks",
            json={"type": TYPE, "payload": {"url": model.url("/v1?key=private")}, "project_id": home.project_id},
            headers={"traceparent": f"00-{trace_id}-{client}-01"},
        )
        assert answer.status_code == 202, answer.text
        task_id = answer.json()["task_id"]
        assert (await world.ended(task_id))["status"] == "COMPLETED"
        hit = await model.hit()
    assert hit.headers["traceparent"].split("-")[1] == trace_id
    spans = await spans_of(jaeger, trace_id, "POST /gateway/v1/tasks", "settle completed", "GET")
    check_chain(spans, "POST /gateway/v1/tasks", client, backend_of(world), task_id)
    # Statements belong to whoever sends them; addresses are without their queries.
    assert parent(spans["GET"]) is not None
    assert "private" not in str(spans)


@pytest.mark.parametrize("world", ["off"], ids=["redis"], indirect=True)
async def test_what_a_handler_asks_the_graph(world: TracedWorld, jaeger: JaegerPart, neo4j_server: str) -> None:
    home, trace_id = await world.people.household(), secrets.token_hex(16)
    async with receiving() as model:
        payload = {"url": model.url(), "graph": neo4j_server, "name": "private-name"}
        answer = await world.client(home.owner).post(
            "/gateway/v1/tasks",
            json={"type": TYPE, "payload": payload, "project_id": home.project_id},
            headers={"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"},
        )
        assert (await world.ended(answer.json()["task_id"]))["status"] == "COMPLETED"
    spans = await spans_of(jaeger, trace_id, "settle completed", "MATCH")
    assert parent(spans["MATCH"]) == spans[f"process {TYPE}"]["spanID"]
    assert spans["MATCH"]["tags"]["db.system.name"] == "neo4j"
    assert "private-name" not in str(spans)


@pytest.mark.parametrize("world", ["off"], ids=["redis"], indirect=True)
async def test_what_is_asked_of_redis(world: TracedWorld, jaeger: JaegerPart) -> None:
    home, trace_id = await world.people.household(), secrets.token_hex(16)
    async with receiving() as model:
        answer = await world.client(home.owner).post(
            "/gateway/v1/tasks",
            json={"type": TYPE, "payload": {"url": model.url(), "name": "private-name"}, "project_id": home.project_id},
            headers={"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"},
        )
        assert (await world.ended(answer.json()["task_id"]))["status"] == "COMPLETED"
    send = (await spans_of(jaeger, trace_id, "settle completed", f"send {TYPE}"))[f"send {TYPE}"]

    async def read() -> list[dict[str, Any]]:
        return [one for one in await jaeger.trace(trace_id) if one["tags"].get("db.system.name") == "redis"]

    commands = await eventually(read, within=PATIENCE, pause=0.1)
    assert {parent(command) for command in commands} >= {send["spanID"]}
    assert {command["operationName"] for command in commands} <= {"EVALSHA", "EVAL"}
    assert "private-name" not in str(commands)


@pytest.mark.parametrize("world", ["isolated"], ids=["redis"], indirect=True)
async def test_a_handler_in_a_process_of_its_own(world: TracedWorld, jaeger: JaegerPart) -> None:
    home, trace_id, client = await world.people.household(), secrets.token_hex(16), secrets.token_hex(8)
    async with receiving() as model:
        answer = await world.client(home.owner).post(
            "/gateway/v1/tasks",
            json={"type": TYPE, "payload": {"url": model.url()}, "project_id": home.project_id},
            headers={"traceparent": f"00-{trace_id}-{client}-01"},
        )
        task_id = answer.json()["task_id"]
        assert (await world.ended(task_id))["status"] == "COMPLETED"
        hit = await model.hit()
    spans = await spans_of(jaeger, trace_id, "POST /gateway/v1/tasks", "settle completed", "GET")
    check_chain(spans, "POST /gateway/v1/tasks", client, backend_of(world), task_id)
    assert hit.headers["traceparent"] == f"00-{trace_id}-{spans['GET']['spanID']}-01"


async def test_a_call_over_grpc(world: TracedWorld, jaeger: JaegerPart) -> None:
    home, trace_id, client = await world.people.household(), secrets.token_hex(16), secrets.token_hex(8)
    server = GrpcServer(world.gateway)
    await server.start()
    try:
        async with receiving() as model, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            task = NewTask(task_type=TYPE, project_id=home.project_id)
            ParseDict({"url": model.url()}, task.payload)
            answer = await TaskServiceStub(channel).Submit(
                SubmitRequest(task=task),
                metadata=[
                    ("authorization", f"Bearer {home.owner.key}"),
                    ("traceparent", f"00-{trace_id}-{client}-01"),
                ],
            )
            assert (await world.ended(answer.task.task_id))["status"] == "COMPLETED"
    finally:
        await server.stop()
    entry = "/taskgate.v1.TaskService/Submit"
    spans = await spans_of(jaeger, trace_id, entry, "settle completed", "GET")
    check_chain(spans, entry, client, backend_of(world), answer.task.task_id)


async def test_a_callback(world: TracedWorld, jaeger: JaegerPart) -> None:
    home, trace_id = await world.people.household(), secrets.token_hex(16)
    client, context = world.client(home.owner), {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    made = await client.post(f"/gateway/v1/tenants/{home.tenant_id}/webhook-secret")
    assert made.status_code in (200, 201), made.text
    async with receiving() as model, receiving() as receiver:
        body = {
            "type": TYPE,
            "payload": {"url": model.url()},
            "project_id": home.project_id,
            "callback": {"url": receiver.url("/private")},
        }
        answer = await client.post("/gateway/v1/tasks", json=body, headers=context)
        assert answer.status_code == 202, answer.text
        hit = await receiver.hit()
    assert hit.headers["traceparent"].split("-")[1] == trace_id
    spans = await spans_of(jaeger, trace_id, "send callback", "POST")
    assert parent(spans["send callback"]) == spans[f"create {TYPE}"]["spanID"]
    assert parent(spans["POST"]) == spans["send callback"]["spanID"]
    assert "/private" not in str(spans)


@pytest.mark.parametrize("world", ["live"], ids=["temporal"], indirect=True)
async def test_nodes_belong_to_the_trace_of_their_run(world: TracedWorld, jaeger: JaegerPart) -> None:
    home, trace_id = await world.people.household(), secrets.token_hex(16)
    client, context = world.client(home.owner), {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    async with receiving() as model:
        dag = (
            f"nodes: {{a: {{type: {TYPE}, input: {{url: '{model.url()}'}}}},"
            f" b: {{type: {TYPE}, needs: [a], input: {{url: '{model.url()}'}}}}}}"
        )
        answer = await client.put(
            "/gateway/v1/dags/traced",
            content=dag,
            headers={"Content-Type": "application/yaml"},
            params={"any_types": 1},
        )
        assert answer.status_code == 201, answer.text
        body = {"dag": "traced", "project_id": home.project_id}
        answer = await client.post("/gateway/v1/dag-runs", json=body, headers=context)
        assert answer.status_code == 202, answer.text
        assert (await world.ended(answer.json()["run_id"]))["status"] == "COMPLETED"
    spans = await eventually(
        lambda: jaeger.trace(trace_id),
        lambda spans: [span["operationName"] for span in spans].count("settle completed") == 2,
        within=PATIENCE,
        pause=0.1,
    )
    by_name: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        by_name.setdefault(span["operationName"], []).append(span)
    run = by_name["create taskgate.dag"][0]["spanID"]
    nodes = by_name[f"create {TYPE}"]
    assert [parent(span) for span in nodes] == [run, run]
    sends = by_name[f"send {TYPE}"]
    assert {parent(span) for span in sends} == {span["spanID"] for span in nodes}
    assert {parent(span) for span in by_name[f"process {TYPE}"]} == {span["spanID"] for span in sends}


async def test_a_trace_that_the_client_does_not_sample_leaves_nothing(world: TracedWorld, jaeger: JaegerPart) -> None:
    home, trace_id = await world.people.household(), secrets.token_hex(16)
    async with receiving() as model:
        answer = await world.client(home.owner).post(
            "/gateway/v1/tasks",
            json={"type": TYPE, "payload": {"url": model.url()}, "project_id": home.project_id},
            headers={"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-00"},
        )
        await world.ended(answer.json()["task_id"])
    assert (await world.dispatch(answer.json()["task_id"]))["trace"] is None
    assert await jaeger.trace(trace_id) == []


async def test_keys_payloads_and_results_are_told_to_nobody(
    world: TracedWorld, jaeger: JaegerPart, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for library in NOISY:  # as in every program of ours
        caplog.set_level(logging.WARNING, logger=library)
    caplog.handler.setFormatter(JsonFormatter())
    canary, home, trace_id = f"canary-{secrets.token_hex(8)}", await world.people.household(), secrets.token_hex(16)
    client, context = world.client(home.owner), {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    async with receiving() as model:
        payload = {"url": model.url(f"/{'x'}?q={canary}"), "content": canary, "result": {"secret": canary}}
        body = {"type": TYPE, "payload": payload, "project_id": home.project_id}
        answer = await client.post("/gateway/v1/tasks", json=body, headers=context)
        task_id = answer.json()["task_id"]
        await world.ended(task_id)
        assert canary in (await client.get(f"/api/v1/tasks/{task_id}")).text
        # Refused in every way that quotes what was sent.
        for bad in (
            {**body, "payload": canary},
            {**body, "priority": canary},
            {**body, canary: 1},
            {**body, "project_id": canary},
        ):
            assert (await client.post("/gateway/v1/tasks", json=bad, headers=context)).status_code >= 400
        await client.get("/api/v1/tasks/recent", params={"search": canary}, headers=context)
        wrong = {"Authorization": f"Bearer ms_sk_{canary}", **context}
        assert (await client.get(f"/api/v1/tasks/{task_id}", headers=wrong)).status_code == 401
    await spans_of(jaeger, trace_id, "settle completed", "GET /api/v1/tasks/recent")
    spans = str(await jaeger.trace(trace_id))
    page = (await world.client(world.admin).get("/metrics")).text
    log = "\n".join(map(JsonFormatter().format, caplog.records))
    for secret in (canary, home.owner.key, world.admin.key):
        assert secret not in spans
        assert secret not in page
        assert secret not in log
