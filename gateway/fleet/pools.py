"""Which pool of workers runs a task."""

from __future__ import annotations

from gateway.access.placement import Tier

#: Pools of Temporal workers by the tier that they serve; the legacy queue has one pool for all.
POOL_OF_TIER = {Tier.ENTERPRISE: "A", Tier.VIP: "B", Tier.STANDARD: "C"}
REDIS_POOL = "redis"
POOLS = (*POOL_OF_TIER.values(), REDIS_POOL)


def pool_of(backend: str, tier: Tier) -> str:
    """The pool that runs the tasks of this tier on this backend."""
    return REDIS_POOL if backend == "redis" else POOL_OF_TIER[tier]
