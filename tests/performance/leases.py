"""What leases cost: a hundred processes' leases, renewed as usual, and the reaper that looks at all of them.

The leases are held by threads of one process, as many workers would hold them: what is counted is the processor time of
that process, which in truth is spread over a hundred, and that of PostgreSQL and of the reaper.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import psutil

from gateway.recovery.lease import Lease, ProcessIdentity
from gateway.recovery.reaper import Reaper
from gateway.storage.database import Database
from gateway.storage.schema.migrate import create_legacy_tables, migrate
from tests.performance.stack import measured_stack

LEASES = 100
SECONDS = 20.0
REAP_SECONDS = 0.2


class _Nobody:
    def changed(self, task_id: str) -> None:
        """Nobody listens."""


def _spent(process: psutil.Process) -> float:
    members = [process, *process.children(recursive=True)]
    return sum(member.cpu_times().user + member.cpu_times().system for member in members)


async def _reap(reaper: Reaper, until: float) -> None:
    while time.monotonic() < until:
        await reaper.tick()
        await asyncio.sleep(REAP_SECONDS)


async def run() -> dict[str, Any]:
    async with measured_stack(("postgres",)) as stack:
        await create_legacy_tables(stack.database_url)
        await migrate(stack.database_url)
        server = next(
            psutil.Process(status.pid) for status in await stack.status() if status.name == "postgres" and status.pid
        )
        database = Database(stack.database_url, size=2)
        reaper = Reaper(database, _Nobody(), limit=15, grace=0.3, losses=5, wake=lambda: None, on_duty=lambda: None)
        figures = {}
        for name, count in (("reaper_alone", 0), ("leases", LEASES)):
            leases = [Lease(stack.database_url, ProcessIdentity("worker", "bench"), limit=15) for _ in range(count)]
            await asyncio.gather(*(lease.start() for lease in leases))
            await _reap(reaper, time.monotonic() + 2)
            ours, servers = time.process_time(), _spent(server)
            await _reap(reaper, time.monotonic() + SECONDS)
            mine, its = time.process_time() - ours, _spent(server) - servers
            figures[name] = {
                "n": count,
                "core_percent": round(100 * (mine + its) / SECONDS, 2),
                "ours_core_percent": round(100 * mine / SECONDS, 2),
                "postgres_core_percent": round(100 * its / SECONDS, 2),
                "load": round(os.getloadavg()[0], 2),
            }
            await asyncio.gather(*(lease.close() for lease in leases))
        await database.close()
        return {"leases": figures}
