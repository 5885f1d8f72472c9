"""Clients that submit, stop and retry, and remember what they were told."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from typing import Any

import httpx

from checker import Request, Seen
from world import TENANTS, World

#: Longest patience of a client with one request (seconds, all repetitions together).
PATIENCE = 120.0


class Clients:
    """Shares what all clients saw; every request is repeated until it is answered, submits under one key."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance
        self._http = httpx.AsyncClient(timeout=10, limits=httpx.Limits(max_connections=50))
        self.tasks: dict[str, Seen] = {}

    async def close(self) -> None:
        await self._http.aclose()

    async def submit_and_meddle(self, number: int) -> None:
        """One task: submitted, now and then stopped, now and then retried."""
        tenant = TENANTS[number % len(TENANTS)]
        plan = random.Random(self._chance.random())
        body = {
            "type": "chaos_probe",
            "payload": {"ms": plan.choice((10, 50, 200, 800)), "fail": plan.choice((0, 0, 0, 0.5, 1.0))},
            "priority": plan.randint(1, 5),
        }
        task_id = await self._submit(tenant, body)
        if plan.random() < 0.15:
            await asyncio.sleep(plan.uniform(0, 1))
            if await self._stop(tenant, task_id) and plan.random() < 0.5:
                await asyncio.sleep(plan.uniform(0, 0.5))
                await self._retry(tenant, task_id)

    async def retry_some_failed(self) -> None:
        """Retry a few of the tasks that have failed so far."""
        for task_id, seen in list(self.tasks.items())[-40:]:
            if self._chance.random() < 0.2:
                await self._retry(seen.tenant, task_id)

    async def final_status(self, task_id: str) -> str:
        seen = self.tasks[task_id]
        answer = await self._ask("GET", f"/api/v1/tasks/{task_id}", seen.tenant)
        return str(answer.json()["status"]) if answer.status_code == httpx.codes.OK else f"HTTP {answer.status_code}"

    async def _submit(self, tenant: str, body: dict[str, Any]) -> str:
        key, sent = uuid.uuid4().hex, time.monotonic()
        answer = await self._ask("POST", "/gateway/v1/tasks", tenant, json=body, key=key)
        if answer.status_code != httpx.codes.ACCEPTED:
            raise RuntimeError(f"a submit was answered {answer.status_code}: {answer.text}")
        task_id = str(answer.json()["task_id"])
        self.tasks[task_id] = Seen(tenant, sent)
        return task_id

    async def _stop(self, tenant: str, task_id: str) -> bool:
        request = Request(time.monotonic())
        answer = await self._ask("POST", f"/api/v1/tasks/{task_id}/stop", tenant)
        if answer.status_code == httpx.codes.OK:
            request.answered = time.monotonic()
            self.tasks[task_id].stops.append(request)
        return answer.status_code == httpx.codes.OK

    async def _retry(self, tenant: str, task_id: str) -> None:
        request = Request(time.monotonic())
        # Noted before the answer, and kept when it is 400: the retry whose answer was lost may have been carried out,
        # and its repetition refused.
        self.tasks[task_id].retries.append(request)
        answer = await self._ask("POST", f"/api/v1/tasks/{task_id}/retry", tenant, on_loss=request)
        if answer.status_code != httpx.codes.OK and not request.repeated:
            self.tasks[task_id].retries.remove(request)
        request.answered = time.monotonic()

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
        headers = {"Authorization": f"Bearer {self._world.keys[f'TASKGATE_KEY_{tenant.upper()}']}"}
        if key:
            headers["Idempotency-Key"] = key
        deadline = time.monotonic() + PATIENCE
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
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {path} was not answered within {PATIENCE} s")
