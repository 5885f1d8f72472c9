"""The stack that is measured: everything real, on free ports, in a directory of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from deploy.local import taskgate
from deploy.local.env import read_env
from deploy.local.stack import EmbeddedStack
from deploy.local.temporal_config import FrontendTls

ALL = ("postgres", "redis", "temporal", "gateway", "worker-temporal", "worker-redis")


@asynccontextmanager
async def measured_stack(
    parts: Collection[str] = ALL,
    *,
    temporal_nodes: int = 1,
    temporal_tls: FrontendTls | None = None,
    handlers: str = "probe_handlers",
) -> AsyncIterator[EmbeddedStack]:
    """A running stack; with a gateway it has demo tenants: acme on Temporal, initech on Redis."""
    own = Path(__file__).parent
    os.environ["TASKGATE_HANDLERS"] = handlers
    os.environ["PYTHONPATH"] = os.pathsep.join((str(own), str(own.parents[1] / "contract-tests" / "support")))
    with tempfile.TemporaryDirectory(prefix="taskgate-bench-") as directory:
        stack = EmbeddedStack(
            Path(directory), parts, ports="free", temporal_nodes=temporal_nodes, temporal_tls=temporal_tls
        )
        try:
            await stack.start()
            stages = {"acme": "live", "umbrella": "live", "initech": "off"} if "gateway" in parts else {}
            for tenant, stage in stages.items():
                await taskgate.run(
                    *("flags", "set", "--tenant", tenant, "--stage", stage, "--by", "bench", "--why", "benchmark"),
                    environment=stack.environment(),
                )
            yield stack
        finally:
            await stack.stop()


def client(stack: EmbeddedStack, tenant: str) -> httpx.AsyncClient:
    """An HTTP client with the tenant's key."""
    variables = read_env(stack.env_file)
    return httpx.AsyncClient(
        base_url=variables["TASKGATE_URL"],
        headers={"Authorization": f"Bearer {variables[f'TASKGATE_KEY_{tenant.upper()}']}"},
        timeout=30,
    )
