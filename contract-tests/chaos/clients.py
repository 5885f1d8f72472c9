"""Clients that submit, stop and retry, over HTTP and over gRPC, and remember what they were told."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

import grpc
import httpx
from taskgate.v1 import (
    GetRequest,
    NewTask,
    RetryRequest,
    StopRequest,
    SubmitRequest,
    TaskServiceStub,
    TaskStatus,
)

import dags
from checker import DagEnd, Request, Seen
from world import TENANTS, World

#: Longest patience of a client with one request (seconds, all repetitions together, while some gateway answers).
PATIENCE = 120.0
CALL_SECONDS = 10.0
#: What a call over gRPC ends with when no gateway answered it: it may have been carried out.
LOST = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}


class Clients:
    """Shares what all clients saw; every request is repeated until it is answered, submits under one key."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance
        self._http = httpx.AsyncClient(timeout=CALL_SECONDS, limits=httpx.Limits(max_connections=50))
        # A gateway that died is asked again at once, not after gRPC's own growing pauses.
        pauses = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
        self._channels = [grpc.aio.insecure_channel(address, options=pauses) for address in world.grpc_addresses]
        self._stubs = [TaskServiceStub(channel) for channel in self._channels]
        self.tasks: dict[str, Seen] = {}
        self.runs: dict[str, tuple[Seen, dags.Variant]] = {}
        """Runs of DAGs by id."""
        self.calls = {"http": 0, "grpc": 0}
        self.crowded = 0
        """How many of the tasks were sent for a rampdown, beside those of the history."""

    async def close(self) -> None:
        await self._http.aclose()
        for channel in self._channels:
            await channel.close()

    async def submit_and_meddle(self, number: int) -> None:
        """One task: submitted, now and then stopped, now and then retried."""
        tenant = TENANTS[number % len(TENANTS)]
        plan = random.Random(self._chance.random())
        body = {
            "type": "chaos_probe",
            "payload": {"ms": plan.choice((10, 50, 200, 800)), "fail": plan.choice((0, 0, 0, 0.5, 1.0))},
            # Where only legacy workers serve Redis, one that asks for another priority is refused.
            "priority": plan.randint(1, 5) if not self._world.legacy else 3,
            "project_id": plan.choice(self._world.projects[tenant]),
        }
        task_id = await self._submit(tenant, body)
        if plan.random() < 0.15:
            await asyncio.sleep(plan.uniform(0, 1))
            if await self._stop(tenant, task_id) and plan.random() < 0.5:
                await asyncio.sleep(plan.uniform(0, 0.5))
                await self._retry(tenant, task_id)

    async def crowd(self, tenant: str, project: str, tasks: int, ms: int, task_type: str = "chaos_probe") -> None:
        """So many tasks of one project, which nobody stops or retries, at once."""
        body = {"type": task_type, "payload": {"ms": ms, "fail": 0}, "priority": 3, "project_id": project}

        async def send() -> None:
            await self._submit(tenant, body)
            self.crowded += 1

        await asyncio.gather(*(send() for _ in range(tasks)))

    async def start_dag(self, number: int) -> bool:
        """A run of a DAG, for the first tenant, from the given one on, whose stage allows it; False when none does."""
        for tenant in TENANTS[number % len(TENANTS) :] + TENANTS[: number % len(TENANTS)]:
            variant, sent = dags.VARIANTS[len(self.runs) % len(dags.VARIANTS)], time.monotonic()
            body = {"dag": dags.NAME, "params": variant.params, "project_id": self._world.projects[tenant][0]}
            answer = await self._ask("POST", "/gateway/v1/dag-runs", tenant, json=body, key=uuid.uuid4().hex)
            if answer.status_code == httpx.codes.ACCEPTED:
                self.runs[str(answer.json()["run_id"])] = (Seen(tenant, sent, is_run=True), variant)
                return True
            if answer.status_code != httpx.codes.CONFLICT:
                raise RuntimeError(f"a run of a DAG was answered {answer.status_code}: {answer.text}")
        return False

    async def see_run(self, run_id: str) -> DagEnd:
        """What a run came to; from now on it, and its nodes, are among the tasks that were accepted."""
        seen, variant = self.runs[run_id]
        document = (await self._ask("GET", f"/gateway/v1/dag-runs/{run_id}", seen.tenant)).json()
        nodes = [node["task_id"] for node in document["nodes"] if node["task_id"]]
        self.tasks |= {run_id: seen, **{task_id: Seen(seen.tenant, seen.submitted, is_node=True) for task_id in nodes}}
        return DagEnd(dags.expected(variant), dags.come_to(document))

    async def retry_some_failed(self) -> None:
        """Retry a few of the tasks that have failed so far."""
        for task_id, seen in list(self.tasks.items())[-40:]:
            if self._chance.random() < 0.2:
                await self._retry(seen.tenant, task_id)

    async def see_final_status(self, task_id: str) -> None:
        """What HTTP and gRPC say of it in the end."""
        seen = self.tasks[task_id]
        answer = await self._ask("GET", f"/api/v1/tasks/{task_id}", seen.tenant)
        known = answer.status_code == httpx.codes.OK
        seen.shown = str(answer.json()["status"]) if known else f"HTTP {answer.status_code}"
        try:
            got = await self._call(lambda stub: stub.Get, GetRequest(task_id=task_id), seen.tenant)
        except grpc.aio.AioRpcError as error:
            seen.shown_by_grpc = error.code().name
        else:
            seen.shown_by_grpc = TaskStatus.Name(got.task.status).removeprefix("TASK_STATUS_")

    async def _submit(self, tenant: str, body: dict[str, Any]) -> str:
        key, sent = uuid.uuid4().hex, time.monotonic()
        if self._over_grpc():
            task = NewTask(task_type=body["type"], priority=body["priority"], project_id=body["project_id"])
            task.payload.update(body["payload"])
            request = SubmitRequest(task=task, idempotency_key=key)
            task_id = str((await self._call(lambda stub: stub.Submit, request, tenant)).task.task_id)
        else:
            answer = await self._ask("POST", "/gateway/v1/tasks", tenant, json=body, key=key)
            if answer.status_code != httpx.codes.ACCEPTED:
                raise RuntimeError(f"a submit was answered {answer.status_code}: {answer.text}")
            task_id = str(answer.json()["task_id"])
        self.tasks[task_id] = Seen(tenant, sent)
        return task_id

    async def _stop(self, tenant: str, task_id: str) -> bool:
        request = Request(time.monotonic())
        done = await self._steer("stop", tenant, task_id, request)
        if done:
            request.answered = time.monotonic()
            self.tasks[task_id].stops.append(request)
        elif request.repeated:
            self.tasks[task_id].maybe_stopped = True
        return done

    async def _retry(self, tenant: str, task_id: str) -> None:
        request = Request(time.monotonic())
        # Noted before the answer, and kept when it is 400: the retry whose answer was lost may have been carried out,
        # and its repetition refused.
        self.tasks[task_id].retries.append(request)
        done = await self._steer("retry", tenant, task_id, request)
        if not done and not request.repeated:
            self.tasks[task_id].retries.remove(request)
        request.answered = time.monotonic()

    async def _steer(self, verb: str, tenant: str, task_id: str, request: Request) -> bool:
        """Stop or retry; False when it is refused because of the task's status."""
        if not self._over_grpc():
            answer = await self._ask("POST", f"/api/v1/tasks/{task_id}/{verb}", tenant, on_loss=request)
            return answer.status_code == httpx.codes.OK
        try:
            if verb == "stop":
                await self._call(lambda stub: stub.Stop, StopRequest(task_id=task_id), tenant, on_loss=request)
            else:
                await self._call(lambda stub: stub.Retry, RetryRequest(task_id=task_id), tenant, on_loss=request)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            return False
        return True

    def _over_grpc(self) -> bool:
        return self._chance.random() < 0.5

    async def _call(
        self, method: Callable[[TaskServiceStub], Any], request: Any, tenant: str, *, on_loss: Request | None = None
    ) -> Any:
        """The answer over gRPC, from whichever gateway gives one. Raises what a gateway refuses it with."""
        is_over = self._world.served.patience(PATIENCE)
        self.calls["grpc"] += 1
        metadata = [("authorization", self._world.authorization(tenant))]
        while True:
            call = method(self._chance.choice(self._stubs))
            try:
                return await call(request, metadata=metadata, timeout=CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() not in LOST or is_over():
                    raise
                if on_loss is not None:
                    on_loss.repeated = True
            await asyncio.sleep(0.1)

    async def _ask(
        self,
        method: str,
        path: str,
        tenant: str,
        *,
        json: Any = None,
        key: str | None = None,
        on_loss: Request | None = None,
    ) -> httpx.Response:
        headers = {"Authorization": self._world.authorization(tenant)}
        if key:
            headers["Idempotency-Key"] = key
        is_over = self._world.served.patience(PATIENCE)
        self.calls["http"] += 1
        while True:
            url = self._chance.choice(self._world.gateway_urls) + path
            try:
                answer = await self._http.request(method, url, headers=headers, json=json)
            except httpx.TransportError:
                if on_loss is not None:
                    on_loss.repeated = True
                await asyncio.sleep(0.1)
            else:
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return answer
                await asyncio.sleep(0.3)
            if is_over():
                raise TimeoutError(f"{method} {path} was not answered within {PATIENCE} s")
