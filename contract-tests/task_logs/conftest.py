"""What tests of `task_logs` share."""

from __future__ import annotations

import pytest
import pytest_asyncio

from contracts.operator import Operator
from contracts.people import Household
from contracts.world import World
from gateway.routing.stages import Stage


@pytest_asyncio.fixture
async def operator(world: World, home: Household) -> Operator:
    """The household is on Temporal."""
    if world.stage == "off":
        pytest.skip("Temporal is not configured at this stage")
    if world.stage == "flipped":
        await world.flag.set(Stage.LIVE, home.tenant_id)
    servers = world.servers
    assert servers.temporal_address is not None
    return await Operator.at(servers.temporal_address, servers.temporal_namespace)
