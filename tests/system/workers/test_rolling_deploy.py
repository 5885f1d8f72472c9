"""Gateways and workers are replaced one by one while clients submit and tasks run: no task is lost or runs twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from contracts.flag import Flag
from contracts.people import People
from gateway.routing.stages import Stage
from gateway.storage.database import Database
from tests.system.workers.conftest import PATIENCE, WorkerProcess, environment_of
from workers.testing.waiting import eventually, until

#: Of gateways and of workers at a time, as in a deployment.
REPLICAS = 2
#: Clients, and long tasks, each in a project of its own: tasks of one project run one after the other.
CLIENTS, LONG = 4, 2
#: How long a short task runs (seconds), and how long a worker lets its tasks go on before it hands them back.
SHORT, DRAIN = 0.2, 1.0
#: Of a client between its tasks (seconds): at full speed the traffic took more of a busy machine than the replacements.
PAUSE = 0.4
#: Tasks that are accepted between one replacement and the next.
BETWEEN = 6

OPEN = "SELECT count(*) FROM task_logs WHERE status NOT IN ('COMPLETED', 'FAILED', 'STOPPED')"


class Release:
    """The processes of one deployment, which `roll` replaces, and the clients before it, as behind a proxy."""

    def __init__(self, backend: str, serving: Any, settings: dict[str, Any], directory: Path) -> None:
        self._backend = backend
        self._serving = serving
        self._settings = settings
        self._directory = directory
        self._gateways: list[tuple[contextlib.AsyncExitStack, asyncio.subprocess.Process, str]] = []
        self._workers: list[WorkerProcess] = []
        self.accepted: dict[str, str] = {}
        """Ids by idempotency key."""
        self.word = directory / "word"
        self.repeated = 0
        """Requests that were sent again, because a gateway was on its way out."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Release]:
        try:
            await asyncio.gather(*(add() for add in (self._add_gateway, self._add_worker) for _ in range(REPLICAS)))
            yield self
        finally:
            for stack, *_ in self._gateways:
                await stack.aclose()
            await asyncio.gather(*(worker.end() for worker in self._workers))

    async def roll(self) -> None:
        """The new one takes work before the old one is told to end, one after the other, under traffic."""
        for _ in range(REPLICAS):
            await self._add_gateway()
            stack, process, _ = self._gateways[0]  # clients go on asking it first
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == -signal.SIGTERM
            self._gateways.pop(0)
            await stack.aclose()
            await self._goes_on()
            await self._add_worker()
            leaving = self._workers.pop(0)
            await leaving.end()
            await self._goes_on()

    async def submit_forever(self, headers: dict[str, str], project_id: str) -> None:
        async with httpx.AsyncClient(headers=headers) as http:
            while True:
                await self._submit(http, project_id, "sleep", seconds=SHORT)
                await asyncio.sleep(PAUSE)

    async def submit_long(self, headers: dict[str, str], project_id: str) -> str:
        """A task that is under way until there is the `word`; its key."""
        async with httpx.AsyncClient(headers=headers) as http:
            key = await self._submit(http, project_id, "wait_for_word", word=str(self.word))
        await until(lambda: self.journal(key), within=PATIENCE)
        return key

    def journal(self, key: str) -> list[str]:
        path = self._directory / key
        return [json.loads(line)["event"] for line in path.read_text().splitlines()] if path.exists() else []

    async def _submit(self, http: httpx.AsyncClient, project_id: str, task_type: str, **payload: Any) -> str:
        """Until a gateway has answered: one that refuses is left for another, with the same key, which is returned."""
        key = secrets.token_hex(8)
        body = {
            "type": task_type,
            "project_id": project_id,
            "payload": {"journal": str(self._directory / key), **payload},
        }
        for turn in range(100):
            _, _, url = self._gateways[turn % len(self._gateways)]
            try:
                answer = await http.post(f"{url}/gateway/v1/tasks", json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                self.repeated += 1
                continue
            if answer.status_code != 503:
                assert answer.status_code == 202, answer.text
                self.accepted[key] = answer.json()["task_id"]
                return key
            self.repeated += 1
        raise AssertionError("no gateway took the task")

    async def _goes_on(self) -> None:
        before = len(self.accepted)
        await until(lambda: len(self.accepted) >= before + BETWEEN, within=PATIENCE)

    async def _add_gateway(self) -> None:
        stack = contextlib.AsyncExitStack()
        settings = {name.upper(): str(value) for name, value in self._settings.items() if not name.endswith("_url")}
        serving = self._serving(self._settings["database_url"], self._settings["redis_url"], **settings)
        process, url = await stack.enter_async_context(serving)
        self._gateways.append((stack, process, url))

    async def _add_worker(self) -> None:
        ready = self._directory / f"ready-{secrets.token_hex(4)}"
        worker = WorkerProcess(["--backend", self._backend], environment_of(self._settings), ready)
        self._workers.append(worker)
        await worker.start()


@pytest.mark.parametrize("on", ["redis", "temporal"])
async def test_nothing_is_lost_or_runs_twice(
    on: str,
    database: Database,
    queue: Redis,
    redis_server: str,
    temporal_server: str,
    own_namespace: str,
    serving: Any,
    tmp_path: Path,
) -> None:
    flag = Flag(tmp_path / "flags.json")
    flag.write(Stage.OFF if on == "redis" else Stage.LIVE)
    settings = {
        "database_url": database.url,
        "redis_url": redis_server,
        "temporal_address": temporal_server,
        "temporal_namespace": own_namespace,
        "flags_file": flag.path,
        "handlers": "workers.testing.misbehaving",
        "worker_slots": CLIENTS + LONG,
        "worker_drain_seconds": DRAIN,
    }
    people = People(database)
    home = await people.household()
    projects = [
        await people.project(f"{home.project_id}-{number}", home.tenant_id, home.owner)
        for number in range(CLIENTS + LONG)
    ]
    async with Release(on, serving, settings, tmp_path).running() as release:
        keys = [await release.submit_long(home.owner.headers, project) for project in projects[CLIENTS:]]
        clients = [
            asyncio.create_task(release.submit_forever(home.owner.headers, project)) for project in projects[:CLIENTS]
        ]
        try:
            rolling = asyncio.create_task(release.roll())
            await asyncio.wait([rolling, *clients], return_when=asyncio.FIRST_COMPLETED)
            await rolling
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
        release.word.touch()
        await eventually(lambda: database.fetchval(OPEN), lambda left: left == 0, within=PATIENCE)
    rows = await database.fetch("SELECT id, status, error_message FROM task_logs")
    statuses = {row["id"]: (row["status"], row["error_message"]) for row in rows}
    # Of a request that was cut the task may be there, and its client not have been told: never the other way round.
    assert {task_id for task_id in release.accepted.values() if statuses.get(task_id) != ("COMPLETED", None)} == set()
    assert len(set(release.accepted.values())) == len(release.accepted)
    assert len(rows) - len(release.accepted) <= CLIENTS
    # Whatever a worker was told to end with ran to its end there, or was cancelled there before it began elsewhere.
    for key in release.accepted:
        way = release.journal(key)
        handed_back = len(way) // 2 - 1
        assert way == ["start", "cancelled"] * handed_back + ["start", "end"]
        assert handed_back or key not in keys, "every worker was replaced, so a long task cannot have stayed"
