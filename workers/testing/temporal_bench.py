"""`TemporalBench`: engines and worker pools on one Temporal server, for one test."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from backends.port import WorkflowStart
from backends.temporal import names
from backends.temporal.engine import TemporalEngine
from workers.outcome import TaskRunner
from workers.temporal.dag.activities import DagActivities
from workers.temporal.pool import TemporalWorkerPool
from workers.temporal.probe import ProbeActivity
from workers.testing.proxy import FaultyProxy
from workers.testing.starts import new_start


@dataclass
class TemporalBench:
    """A server, a tenant of this test alone, and what the test starts; all of it ends with the test."""

    address: str
    namespace: str
    tenant: str
    cleanup: AsyncExitStack
    proxies: list[FaultyProxy] = field(default_factory=list)
    runs: dict[TemporalWorkerPool, asyncio.Task[None]] = field(default_factory=dict)
    """Of each pool, until it has left."""

    def engine(self, address: str | None = None, namespace: str | None = None, **options: Any) -> TemporalEngine:
        engine = TemporalEngine(address or self.address, namespace or self.namespace, **options)
        self.cleanup.push_async_callback(engine.close)
        return engine

    def start(self, task_type: str = "add_episode", **changes: Any) -> WorkflowStart:
        """A start on this tenant's own queue for the type."""
        start = new_start(task_type=task_type)
        return replace(start, tenant_id=self.tenant, queue=names.tenant_queue(self.tenant, task_type), **changes)

    async def serve(
        self,
        runner: TaskRunner,
        *,
        task_types: Sequence[str] = ("add_episode",),
        slots: int = 5,
        address: str | None = None,
        tenants: Sequence[str] | None = None,
        shared: bool = False,
        ready: bool = True,
        probes: ProbeActivity | None = None,
        dags: DagActivities | None = None,
    ) -> TemporalWorkerPool:
        """A pool that serves this tenant until the test ends."""
        pool = TemporalWorkerPool(
            address or self.address,
            self.namespace,
            runner=runner,
            task_types=task_types,
            worker_id=f"worker-{secrets.token_hex(4)}",
            slots=slots,
            shared=shared,
            probes=probes,
            dags=dags,
        )
        pool.set_tenants([self.tenant] if tenants is None else tenants)
        run = self.runs[pool] = asyncio.create_task(pool.run())

        async def end() -> None:
            # Of a test that failed half-way: it takes seconds while nothing can be reported.
            for proxy in self.proxies:
                await proxy.restore()
            pool.stop(drain=timedelta())
            await run

        self.cleanup.push_async_callback(end)
        if ready:
            async with asyncio.timeout(30):
                await pool.wait_ready()
        return pool

    async def proxy(self) -> FaultyProxy:
        host, _, port = self.address.rpartition(":")
        proxy = FaultyProxy(host, int(port))
        await proxy.open()
        self.proxies.append(proxy)
        self.cleanup.push_async_callback(proxy.close)
        return proxy
