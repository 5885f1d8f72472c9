"""(e) What encryption costs: processor time a task, with keys for payloads and TLS to Temporal, and without.

Two stacks of the same kind stand side by side, one with both. Rounds of tasks go to one and to the other in turn, the
first of each pair in turn, too; what the other's processes use meanwhile does not count. `ENCRYPTION_PAIRS` pairs
of rounds of `ENCRYPTION_TASKS` tasks with a payload of 2 kB, on Temporal.
"""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from contracts.authority import Authority
from deploy.local.temporal_config import FrontendTls
from tests.performance.side import Side
from tests.performance.stack import client, measured_stack
from tests.performance.table import paired_ratio

TASKS = int(os.environ.get("ENCRYPTION_TASKS", "200"))
PAIRS = int(os.environ.get("ENCRYPTION_PAIRS", "10"))
PARTS = ("postgres", "redis", "temporal", "gateway", "worker-temporal")
OURS = ("gateway", "worker-temporal")
KEYS = "TASKGATE_TEMPORAL_CODEC_KEYS"


@asynccontextmanager
async def _side(keys: str | None, tls: FrontendTls | None) -> AsyncIterator[Side]:
    if keys is not None:
        os.environ[KEYS] = keys
    try:
        async with measured_stack(PARTS, temporal_tls=tls) as stack, client(stack, "acme") as http:
            os.environ.pop(KEYS, None)
            database = await asyncpg.connect(stack.database_url)
            yield Side(stack, http, database, OURS, TASKS)
            await database.close()
    finally:
        os.environ.pop(KEYS, None)


async def run() -> dict[str, Any]:
    keys = f"bench {base64.b64encode(secrets.token_bytes(32)).decode()}"
    async with AsyncExitStack() as both:
        directory = Path(both.enter_context(tempfile.TemporaryDirectory(prefix="taskgate-encryption-")))
        authority = Authority(directory)
        tls = FrontendTls(authority.file, *authority.issue("temporal"))
        clear = await both.enter_async_context(_side(None, None))
        encrypted = await both.enter_async_context(_side(keys, tls))
        for side in (clear, encrypted):
            await side.round()
        rounds: list[tuple[dict[str, float], dict[str, float]]] = []
        for number in range(PAIRS):
            first, second = (clear, encrypted) if number % 2 else (encrypted, clear)
            one, other = await first.round(), await second.round()
            rounds.append((one, other) if first is clear else (other, one))
    figures: dict[str, Any] = {}
    for name in ("ours", "all"):
        without, with_keys = [pair[0][name] for pair in rounds], [pair[1][name] for pair in rounds]
        figures[name] = {
            "clear_ms": round(sorted(without)[len(without) // 2], 3),
            "encrypted_ms": round(sorted(with_keys)[len(with_keys) // 2], 3),
            "ratio": paired_ratio(with_keys, without),
        }
    return {"encryption": figures}
