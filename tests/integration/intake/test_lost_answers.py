"""The answer to a commit is lost: what is said of the task is true, over HTTP and over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import grpc
import httpx
import pytest
import pytest_asyncio
from google.rpc.error_details_pb2 import ErrorInfo, ResourceInfo
from google.rpc.status_pb2 import Status
from taskgate.v1 import NewTask, SubmitRequest, TaskServiceStub

from gateway.app import create_app
from gateway.bootstrap import Gateway, build_gateway
from gateway.rpc.server import GrpcServer
from gateway.settings import Settings
from gateway.storage.schema.seed import seed
from workers.testing.proxy import FaultyProxy
from workers.testing.waiting import eventually

#: Holds up every commit with a new task while somebody has the advisory lock.
HOLD_UP = """
CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER hold_up AFTER INSERT ON task_logs DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION hold_up();
"""
#: Ends the session that writes a new task.
BREAK_OFF = """
CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
CREATE TRIGGER break_off AFTER INSERT ON task_logs FOR EACH ROW EXECUTE FUNCTION break_off();
"""
PATHS = {
    "/gateway/v1/tasks": {"type": "add_episode", "payload": {"content": "x"}},
    "/gateway/v1/tasks/batch": {"tasks": [{"type": "add_episode", "payload": {"content": "x"}}] * 2},
    "/api/v1/episodes/": {"name": "n", "content": "x"},
}


class Link:
    """The gateway's way to PostgreSQL, which can be cut while a commit is held up."""

    def __init__(self, proxy: FaultyProxy, admin: asyncpg.Connection) -> None:
        self.proxy = proxy
        self.admin = admin

    async def hold(self) -> None:
        await self.admin.execute("SELECT pg_advisory_lock(4711)")

    async def let_go(self) -> None:
        await self.admin.execute("SELECT pg_advisory_unlock(4711)")

    async def cut_at_commit(self) -> None:
        """Cut the connections once a commit is held up; new ones work."""
        await eventually(
            lambda: self.admin.fetchval(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"
            )
        )
        await self.proxy.refuse()
        await self.proxy.open()

    async def accepted(self, task_ids: list[str], most: float = 10) -> bool:
        """Whether these tasks, and no others, are there in the end."""
        await eventually(
            lambda: self.admin.fetch("SELECT id FROM task_logs"),
            lambda found: {row["id"] for row in found} == set(task_ids),
            within=most,
        )
        return True


@pytest_asyncio.fixture
async def keys(database_url: str) -> dict[str, str]:
    return await seed(database_url)


@pytest_asyncio.fixture
async def link(database_url: str) -> AsyncIterator[Link]:
    at = urlsplit(database_url)
    proxy, admin = FaultyProxy(at.hostname or "", at.port or 0), await asyncpg.connect(database_url)
    await admin.execute(HOLD_UP)
    await proxy.open()
    yield Link(proxy, admin)
    await admin.close()
    await proxy.close()


@pytest_asyncio.fixture
async def gateway(link: Link, database_url: str) -> AsyncIterator[Gateway]:
    at = urlsplit(database_url)
    url = database_url.replace(f"{at.hostname}:{at.port}", f"127.0.0.1:{link.proxy.port}")
    gateway = build_gateway(Settings(database_url=url, grpc_port=0, drain_seconds=1), engines={})
    yield gateway
    await gateway.close()


@pytest_asyncio.fixture
async def client(gateway: Gateway, keys: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(gateway)),
        base_url="http://gateway",
        headers={"Authorization": f"Bearer {keys['TASKGATE_KEY_INITECH']}"},
        timeout=60,
    ) as client:
        # From now on the key is known, and PostgreSQL is not asked about it.
        assert (await client.get("/gateway/v1/tasks")).status_code == httpx.codes.OK
        yield client


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}], ids=["plain", "with a key"])
async def test_a_commit_that_was_made_is_an_acceptance(
    path: str, headers: dict[str, str], link: Link, client: httpx.AsyncClient
) -> None:
    await link.hold()
    asking = asyncio.create_task(client.post(path, json=PATHS[path], headers=headers))
    await link.cut_at_commit()
    await link.let_go()
    answer = await asking
    assert answer.is_success
    assert await link.accepted(_ids(answer.json()))


@pytest.mark.parametrize("path", PATHS)
async def test_a_commit_of_which_nothing_is_known_names_its_tasks(
    path: str, link: Link, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.submission.intake.LOOK_SECONDS", 0.5)
    await link.hold()
    asking = asyncio.create_task(client.post(path, json=PATHS[path]))
    await link.cut_at_commit()
    answer = await asking
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    await link.let_go()
    if path.startswith("/gateway"):
        assert answer.json()["type"] == "urn:taskgate:error:outcome_unknown"
        assert await link.accepted(answer.json()["task_ids"])
    else:
        [task_id] = [row["id"] for row in await _rows(link)]
        assert (
            answer.json()["detail"]
            == f"The database did not confirm whether task {task_id} was accepted; check before you submit again."
        )


async def test_what_failed_before_its_commit_is_not_accepted(link: Link, client: httpx.AsyncClient) -> None:
    await link.admin.execute(BREAK_OFF)
    path = "/gateway/v1/tasks"
    answer = await client.post(path, json=PATHS[path], headers={"Idempotency-Key": "k"})
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.json()["type"] == "urn:taskgate:error:database_unavailable"
    assert answer.json()["detail"] == "The database is not available; nothing was accepted. Try again."
    assert await link.accepted([])


@pytest.mark.parametrize("is_made", [True, False])
async def test_grpc(
    is_made: bool, link: Link, gateway: Gateway, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_made:
        monkeypatch.setattr("gateway.submission.intake.LOOK_SECONDS", 0.5)
    server = GrpcServer(gateway)
    await server.start()
    metadata = [("authorization", f"Bearer {keys['TASKGATE_KEY_INITECH']}")]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        await link.hold()
        call = TaskServiceStub(channel).Submit(
            SubmitRequest(task=NewTask(task_type="add_episode")), metadata=metadata, timeout=60
        )
        asking = asyncio.ensure_future(call)
        await link.cut_at_commit()
        if is_made:
            await link.let_go()
            answer = await asking
            assert await link.accepted([answer.task.task_id])
        else:
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await asking
            assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
            await link.let_go()
            info, resource = _details(refusal.value)
            assert info.reason == "OUTCOME_UNKNOWN"
            assert await link.accepted([resource.resource_name])
    await server.stop()


def _ids(answer: Any) -> list[str]:
    items = answer.get("results") or answer.get("tasks") or [answer]
    return [item.get("task_id") or item["id"] for item in items]


async def _rows(link: Link) -> list[asyncpg.Record]:
    rows = await eventually(lambda: link.admin.fetch("SELECT id FROM task_logs"))
    return rows


def _details(error: grpc.aio.AioRpcError) -> tuple[ErrorInfo, ResourceInfo]:
    raw = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    status, info, resource = Status.FromString(raw), ErrorInfo(), ResourceInfo()
    for detail in status.details:
        for kind in (info, resource):
            if detail.Is(kind.DESCRIPTOR):
                detail.Unpack(kind)
    return info, resource
