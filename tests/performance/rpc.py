"""(c) gRPC: latency and throughput of a submit against HTTP in the same run."""

from __future__ import annotations

from typing import Any

from tests.performance import rpc_submit
from tests.performance.stack import measured_stack


async def run() -> dict[str, Any]:
    """On one gateway without workers: what is submitted waits in Redis."""
    async with measured_stack(("postgres", "redis", "temporal", "gateway")) as stack:
        return {"rpc": await rpc_submit.run(stack)}
