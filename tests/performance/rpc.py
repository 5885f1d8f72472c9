"""(c) gRPC: submit latency and throughput against HTTP in the same run; watches and SSE streams in great number."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from tests.performance import rpc_streams, rpc_submit
from tests.performance.stack import measured_stack


async def run() -> dict[str, Any]:
    """Both parts on one gateway, without workers: what is submitted waits in Redis.

    Streams come first: memory that a process once used is not given back, and would be used again unseen.
    """
    async with measured_stack(("postgres", "redis", "temporal", "gateway")) as stack:
        streams = await rpc_streams.run(stack)
        return {"rpc_submit": await rpc_submit.run(stack), "streams": streams}


if __name__ == "__main__":
    began = time.perf_counter()
    print(json.dumps(asyncio.run(run()), indent=2))
    print(f"{time.perf_counter() - began:.0f} s")
