"""(c) 1,000 watches and 1,000 SSE streams on one gateway: how soon a change arrives, and what a stream costs."""

from __future__ import annotations

from typing import Any

from tests.performance import rpc_streams
from tests.performance.stack import measured_stack


async def run() -> dict[str, Any]:
    """On a gateway of its own: memory that a process once used is not given back, and would be used again unseen."""
    async with measured_stack(("postgres", "redis", "temporal", "gateway")) as stack:
        return {"streams": await rpc_streams.run(stack)}
