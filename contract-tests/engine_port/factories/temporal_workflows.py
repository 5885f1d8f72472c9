"""Temporal without standalone activities under the conformance suite: each task in a workflow of one activity."""

from __future__ import annotations

from workers.testing.harness import EngineHarness
from workers.testing.temporal import TemporalHarness

FIXTURES = ("temporal_server", "temporal_namespace")

SKIPS = {"test_the_urgent_overtakes": "a worker of one slot that restarts between tasks blurs the order of two queues"}


async def create(temporal_server: str, temporal_namespace: str) -> EngineHarness:
    return await TemporalHarness(temporal_server, temporal_namespace, standalone=False).open()
