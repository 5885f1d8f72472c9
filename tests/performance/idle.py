"""What each process of ours costs while nothing happens: share of a core, and resident memory."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil

from tests.performance.processes import cpu_of, tree
from tests.performance.stack import ALL, measured_stack

SECONDS = 20
OWN = ("gateway", "worker-temporal", "worker-redis")


def resident_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 2**20


async def run() -> dict[str, Any]:
    async with measured_stack(ALL) as stack:
        pids = {status.name: status.pid for status in await stack.status() if status.name in OWN and status.pid}
        await asyncio.sleep(5)
        families = {name: tree(pid) for name, pid in pids.items()}
        before = {name: cpu_of(members) for name, members in families.items()}
        await asyncio.sleep(SECONDS)
        return {
            "idle": {
                name: {
                    "core_percent": round(100 * (cpu_of(members) - before[name]) / SECONDS, 2),
                    "rss_mb": round(sum(map(resident_mb, members)), 1),
                }
                for name, members in families.items()
            }
        }
