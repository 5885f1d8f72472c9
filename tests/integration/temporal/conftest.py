"""A real Temporal server, and a tenant of the test's own on it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio

from workers.testing.temporal_bench import TemporalBench


@pytest_asyncio.fixture
async def temporal(temporal_server: str, temporal_namespace: str) -> AsyncIterator[TemporalBench]:
    async with AsyncExitStack() as cleanup:
        yield TemporalBench(temporal_server, temporal_namespace, f"t{secrets.token_hex(4)}", cleanup)
