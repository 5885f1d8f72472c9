"""`WorkerService`: the fleet."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from taskgate.v1 import DrainWorkerRequest, GetWorkerRequest, ListWorkersRequest, WorkerKind, WorkerServiceStub

Code = grpc.StatusCode


@pytest.fixture
async def workers(face: Any) -> WorkerServiceStub:
    for number in range(2, 5):
        await face.gateway.database.execute(
            "INSERT INTO taskgate.process (process_id, kind, host, pid, version, lock_key)"
            " VALUES ($1, $2, 'here', 1, 'test', 1)",
            f"w{number}",
            "gateway" if number == 4 else "worker",
        )
    return WorkerServiceStub(face.channel)


async def listed(face: Any, workers: Any, **asked: Any) -> list[str]:
    found, token = [], ""
    while True:
        request = ListWorkersRequest(page_size=2, page_token=token, **asked)
        answer = await workers.ListWorkers(request, metadata=face.root)
        assert len(answer.workers) <= 2
        found += [worker.process_id for worker in answer.workers]
        if not (token := answer.next_page_token):
            return sorted(found)


async def test_the_fleet_page_by_page(face: Any, workers: Any) -> None:
    assert await listed(face, workers) == ["w1", "w2", "w3"]
    assert await listed(face, workers, kind=WorkerKind.WORKER_KIND_GATEWAY) == ["w4"]
    assert await listed(face, workers, kind=WorkerKind.WORKER_KIND_ALL) == ["w1", "w2", "w3", "w4"]
    assert await listed(face, workers, backend="temporal") == []


async def test_one_worker_and_what_it_runs(face: Any, workers: Any, refusal: Any) -> None:
    task_id = await face.submit()
    await face.begin(task_id)

    shown = await workers.GetWorker(GetWorkerRequest(process_id="w1"), metadata=face.root)

    assert (shown.worker.process_id, shown.worker.slots_used) == ("w1", 1)
    assert [(task.task_id, task.tenant_id, task.attempt) for task in shown.running] == [(task_id, "t-ann", 1)]
    refused = await refusal(workers.GetWorker(GetWorkerRequest(process_id="w9"), metadata=face.root))
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "WORKER_NOT_FOUND")


async def test_one_is_drained(face: Any, workers: Any, refusal: Any) -> None:
    request = DrainWorkerRequest(process_id="w2", why="its host goes")
    drained = (await workers.DrainWorker(request, metadata=face.root)).worker
    assert (drained.process_id, drained.drain_why, drained.HasField("drain_at")) == ("w2", "its host goes", True)
    for process_id, code, reason in (
        ("w4", Code.FAILED_PRECONDITION, "WORKER_NOT_DRAINABLE"),
        ("w9", Code.NOT_FOUND, "WORKER_NOT_FOUND"),
    ):
        request = DrainWorkerRequest(process_id=process_id, why="x")
        refused = await refusal(workers.DrainWorker(request, metadata=face.root))
        assert (refused.code, refused.reason) == (code, reason)
    refused = await refusal(workers.DrainWorker(DrainWorkerRequest(process_id="w3"), metadata=face.root))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, ["why"])


async def test_only_administrators_see_it(face: Any, workers: Any, refusal: Any) -> None:
    for call, request in (
        (workers.ListWorkers, ListWorkersRequest()),
        (workers.GetWorker, GetWorkerRequest(process_id="w1")),
    ):
        assert (await refusal(call(request, metadata=face.ann))).code is Code.PERMISSION_DENIED
        assert (await refusal(call(request))).code is Code.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
        ({"kind": 9}, "kind"),
        ({"pool": "\0"}, "pool"),
    ],
)
async def test_bad_requests_name_their_field(
    face: Any, workers: Any, refusal: Any, asked: dict[str, Any], field: str
) -> None:
    refused = await refusal(workers.ListWorkers(ListWorkersRequest(**asked), metadata=face.root))
    assert (refused.code, refused.fields) == (Code.INVALID_ARGUMENT, [field])
