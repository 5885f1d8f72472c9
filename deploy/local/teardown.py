"""Stops what a stack started, from nothing but its directory: whatever parts and ports it was given."""

from __future__ import annotations

import asyncio
from pathlib import Path

from deploy.local.builds import Report
from deploy.local.neo4j import Neo4jPart
from deploy.local.part import Part
from deploy.local.postgres import PostgresPart
from deploy.local.process import ManagedProcess, started

# By the beginning of the name: dependants first, and the database last. Whatever else there is comes after them.
STOP_ORDER = (("worker-",), ("gateway",), ("temporal-ui",), ("temporal", "redis", "neo4j"), ("postgres",), ("",))


async def stop_directory(directory: Path, report: Report = lambda _: None) -> list[str]:
    """Stops every process that was started in this directory and still is ours; returns their names."""
    names = started(directory)
    stopped: list[str] = []
    for beginnings in STOP_ORDER:
        level = sorted(name for name in names if name.startswith(beginnings))
        names -= set(level)
        ended = await asyncio.gather(*(_stop(name, directory) for name in level))
        for name in (name for name, done in zip(level, ended, strict=True) if done):
            report(f"{name}: stopped")
            stopped.append(name)
    return stopped


async def _stop(name: str, directory: Path) -> bool:
    kind = PostgresPart if name == "postgres" else Neo4jPart if name == "neo4j" else Part
    return await ManagedProcess(name, directory).stop(kind.stop_signal, kind.stop_seconds)
