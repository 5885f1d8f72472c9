"""The legacy system around the gateway, for tests: its producer, and its worker as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
from redis.asyncio import Redis

LEGACY = Path(__file__).resolve().parents[1] / "legacy"

#: What each type's payload holds beside `task_type`, `task_id` and `timestamp` (L5), with a value that fits.
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "add_episode": {
        "group_id": "g",
        "name": "Ünïcode…",
        "content": "Ada met Grace. 🙂",
        "source_description": "User input",
        "episode_type": "text",
        "uuid": "3f6f9f2e-0000-4000-8000-000000000001",
        "tenant_id": "acme",
        "project_id": "g",
        "user_id": "user-1",
        "memory_id": None,
    },
    "rebuild_communities": {"task_group_id": "g"},
    "incremental_refresh": {
        "group_id": "g",
        "episode_uuids": ["a", "b"],
        "rebuild_communities": True,
        "tenant_id": "acme",
        "project_id": "g",
        "user_id": "user-1",
    },
    "deduplicate_entities": {"group_id": "g", "similarity_threshold": 0.9, "dry_run": False, "project_id": "g"},
}


class LegacyProducer:
    """Writes the row and pushes the payload as MemStack's API server does: three commands, one after the other."""

    def __init__(self, redis: Redis, database: asyncpg.Connection | asyncpg.Pool | None = None) -> None:
        self._redis = redis
        self._database = database

    async def submit(self, task_type: str, group: str, payload: Mapping[str, Any] | None = None) -> str:
        """A new task in this group; returns its id."""
        task_id = str(uuid.uuid4())
        body = self.body(task_type, group, task_id, payload)
        if self._database is not None:
            await self._database.execute(
                "INSERT INTO task_logs (id, group_id, task_type, status, payload) VALUES ($1, $2, $3, 'PENDING', $4)",
                task_id,
                group,
                task_type,
                json.dumps(body),
            )
        await self.push(group, json.dumps(body))
        return task_id

    async def push(self, group: str, payload: str | bytes) -> None:
        """Only the two commands on Redis, whatever the payload is."""
        await self._redis.sadd("queue:active_groups", group)
        await self._redis.rpush(f"queue:group:{group}", payload)

    @staticmethod
    def body(task_type: str, group: str, task_id: str, payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
        example = dict(EXAMPLES.get(task_type, {"group_id": group}))
        for key in ("group_id", "task_group_id", "project_id"):
            if key in example:
                example[key] = group
        return {"task_type": task_type, "task_id": task_id, **example, **(payload or {}), "timestamp": time.time()}


class LegacyWorkerProcess:
    """`contract-tests/legacy/worker.py`, started with `start` and ended with `kill` (SIGKILL) or `stop` (SIGTERM)."""

    def __init__(
        self,
        redis_url: str,
        database_url: str,
        effects: Path,
        *,
        recovery_seconds: float = 60,
        stale_seconds: float = 60,
    ) -> None:
        self._arguments = [
            *("--redis", redis_url, "--database", database_url, "--handlers", "legacy_effects"),
            *("--recovery-seconds", str(recovery_seconds), "--stale-seconds", str(stale_seconds)),
        ]
        self._effects = effects
        self._process: asyncio.subprocess.Process | None = None
        self.worker_id = ""

    async def start(self) -> None:
        """Returns once it polls."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(LEGACY / "worker.py"),
            *self._arguments,
            env={**os.environ, "LEGACY_EFFECTS": str(self._effects)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 30)
        word, _, self.worker_id = line.decode().strip().partition(" ")
        assert word == "ready", "the legacy worker did not start"

    async def kill(self) -> None:
        await self._end(lambda process: process.kill())

    async def stop(self) -> None:
        await self._end(lambda process: process.terminate())

    async def _end(self, how: Any) -> None:
        if self._process is not None and self._process.returncode is None:
            how(self._process)
            await self._process.wait()
        self._process = None


def read_effects(file: Path) -> list[dict[str, Any]]:
    """The lines that handlers of `legacy_effects` left, oldest first."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
