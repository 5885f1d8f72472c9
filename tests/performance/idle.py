"""What each process of ours costs while nothing happens: share of a core, and resident memory."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from tests.performance.stack import ALL, measured_stack

SECONDS = 20
OWN = ("gateway", "worker-temporal", "worker-redis")


def family(pid: int) -> list[int]:
    """The process and those below it: a worker is a supervisor and its processes."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in below for member in family(int(child)))]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


async def run() -> dict[str, Any]:
    async with measured_stack(ALL) as stack:
        pids = {status.name: status.pid for status in await stack.status() if status.name in OWN and status.pid}
        await asyncio.sleep(5)
        families = {name: family(pid) for name, pid in pids.items()}
        before = {name: sum(map(cpu_seconds, members)) for name, members in families.items()}
        await asyncio.sleep(SECONDS)
        return {
            "idle": {
                name: {
                    "core_percent": round(100 * (sum(map(cpu_seconds, members)) - before[name]) / SECONDS, 2),
                    "rss_mb": round(sum(map(resident_mb, members)), 1),
                }
                for name, members in families.items()
            }
        }
