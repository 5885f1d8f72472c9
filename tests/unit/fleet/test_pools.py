"""Exactly one pool serves each queue that dispatch uses."""

from __future__ import annotations

import pytest

from backends.temporal.names import shared_queue
from gateway.access.placement import Tier
from gateway.dispatch.queues import queue_of
from gateway.fleet.pools import POOL_OF_TIER, plans_served, pool_of, serves_shared


@pytest.mark.parametrize("tier", Tier)
def test_only_the_tiers_pool_and_workers_without_a_pool_serve_its_queue(tier: Tier) -> None:
    is_shared = queue_of("acme", tier, "probe") == shared_queue("probe")
    serving = [
        pool
        for pool in (*POOL_OF_TIER.values(), None)
        if (serves_shared(pool) if is_shared else tier in plans_served(pool))
    ]
    assert serving == [pool_of("temporal", tier), None]
