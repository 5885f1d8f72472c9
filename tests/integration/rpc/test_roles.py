"""Who may do what over gRPC: every method by every role and by the permissions of a key."""

from __future__ import annotations

import contextlib
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import pytest
from taskgate.v1 import GetRequest, StopRequest, WatchDrainRequest

from gateway.access.keys import create_key, hash_key
from gateway.access.verbs import METHODS, Level, Verb
from gateway.rpc.generate import PROTOS

SERVICES = [
    service
    for proto in PROTOS
    for service in import_module(f"taskgate.v1.{Path(proto).stem}_pb2").DESCRIPTOR.services_by_name.values()
]
FULL_NAMES = {method.name: f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods}
#: Without a tenant that is not there it would not end.
REQUESTS = {"WatchDrain": WatchDrainRequest(tenant_id="none").SerializeToString()}
LEVELS = {"root": Level.ADMINISTRATOR, "ann": Level.MANAGER, "member": Level.MEMBER, "guest": Level.READER}


@pytest.fixture
async def crowd(world: Any) -> Any:
    """Metadata of somebody in each role of tenant t-ann, and with a key of ann's that may only read."""
    run = world.database.execute
    insert = (
        "INSERT INTO api_keys (id, key_hash, name, user_id, is_active, permissions) VALUES ($1, $2, 'x', $3, true, $4)"
    )
    for name, user, permissions in (
        ("member", "member", []),
        ("guest", "guest", []),
        ("reader", "ann", ["read"]),
    ):
        if user == name:
            await run("INSERT INTO users (id, email, name, is_active) VALUES ($1, $1, $1, true)", name)
            await run("INSERT INTO user_tenants (user_id, tenant_id, role) VALUES ($1, 't-ann', $1)", name)
        world.keys[name] = create_key()
        await run(insert, name, hash_key(world.keys[name]), user, json.dumps(permissions))
    return {name: world.metadata(name) for name in world.keys}


def may(who: str, verb: Verb) -> bool:
    if who == "reader":
        return verb.permission == "read" and verb.level <= Level.MANAGER
    return LEVELS[who] >= verb.level


def test_every_method_has_a_verb() -> None:
    methods = [method.name for service in SERVICES for method in service.methods]
    assert sorted(methods) == sorted(METHODS)


async def test_every_method_by_every_role(face: Any, crowd: Any) -> None:
    # Who may watch lists or stages is told at once that the gateway ends.
    face.gateway.any_task_watch.end_streams()
    face.gateway.stage_watch.end_streams()
    for name, verb in METHODS.items():
        for who in (*LEVELS, "reader"):
            # On the wire every call is a stream of requests and a stream of answers.
            call = face.channel.stream_stream(FULL_NAMES[name])(
                iter([REQUESTS.get(name, b"")]), metadata=crowd[who], timeout=30
            )
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for _ in call:
                    pass
            refused = await call.code() is grpc.StatusCode.PERMISSION_DENIED
            assert refused is not may(who, verb), (who, name)


async def test_on_one_thing(face: Any, crowd: Any, world: Any) -> None:
    """A member of the tenant who is a viewer of a project leaves the tasks of that one alone."""

    await world.database.execute(
        "INSERT INTO user_projects (user_id, project_id, role) VALUES ('member', 'p-ann', 'viewer')"
    )
    in_project, beside = await face.submit(project_id="p-ann"), await face.submit()
    assert (await face.tasks.Get(GetRequest(task_id=in_project), metadata=crowd["member"])).task.task_id == in_project
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await face.tasks.Stop(StopRequest(task_id=in_project), metadata=crowd["member"])
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    await face.tasks.Stop(StopRequest(task_id=beside), metadata=crowd["member"])
