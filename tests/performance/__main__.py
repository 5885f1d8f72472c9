"""Runs the parts named by `ONLY=a,b` (all without it); prints a table and writes `.local/bench/latest.json`."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.performance.table import render

#: Part → module with `async def run() -> dict[str, Any]`.
PARTS = {
    "dispatch": "tests.performance.dispatch",
    "dags": "tests.performance.dags",
    "submit": "tests.performance.submit",
    "idle": "tests.performance.idle",
    "leases": "tests.performance.leases",
    "rpc": "tests.performance.rpc",
    "streams": "tests.performance.streams",
    "delay": "tests.performance.delay",
    "fairness": "tests.performance.fairness",
    "peers": "tests.performance.peers_part",
    "recovery": "tests.performance.recovery",
    "memory": "tests.performance.lost_memory",
    "open": "tests.performance.open_tasks",
    "scale": "tests.performance.scale",
    "large": "tests.performance.large",
    "tenants": "tests.performance.tenants",
    "fence": "tests.performance.fence",
    "rampdown": "tests.performance.rampdown",
    "guardrails": "tests.performance.guardrails",
    "preview": "tests.performance.preview",
    "retention": "tests.performance.retention",
    "cost": "tests.performance.task_cost",
    "encryption": "tests.performance.encryption",
    "telemetry": "tests.performance.telemetry",
    "kills": "tests.performance.kills",
    "lists": "tests.performance.list_watchers",
    "console": "tests.performance.console.part",
}
PACKAGES = ("taskgate", "temporalio", "fastapi", "uvicorn", "asyncpg", "redis")


def chosen() -> list[str]:
    only = os.environ.get("ONLY", "").replace(" ", "")
    names = [name for name in only.split(",") if name] or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"bench: no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return names


def machine() -> dict[str, Any]:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {"cpu": cpu, "cores": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()}


async def main() -> None:
    out = Path(os.environ.get("TASKGATE_LOCAL_DIR", ".local")) / "bench" / "latest.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    figures |= {"machine": machine(), "versions": {name: version(name) for name in PACKAGES}}
    for name in chosen():
        print(f"… {name}", flush=True)
        measured = await importlib.import_module(PARTS[name]).run()
        figures |= measured
        print(render(measured), flush=True)
        out.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    print(f"written: {out}")


if __name__ == "__main__":
    asyncio.run(main())
