"""Pools of workers, and the tasks that each runs. Dispatch, workers and signals all go by this module."""

from __future__ import annotations

from typing import Final

from gateway.access.placement import Tier

#: Tiers whose tenants have task queues of their own on Temporal; tenants of other tiers share one for each task type.
OWN_QUEUES: Final = frozenset({Tier.ENTERPRISE, Tier.VIP})
#: Pools of Temporal workers by the tier that they serve; the legacy queue has one pool for all.
POOL_OF_TIER: Final = {Tier.ENTERPRISE: "A", Tier.VIP: "B", Tier.STANDARD: "C"}
REDIS_POOL: Final = "redis"
BACKEND_OF_POOL: Final = {**dict.fromkeys(POOL_OF_TIER.values(), "temporal"), REDIS_POOL: "redis"}


def pool_of(backend: str, tier: Tier) -> str:
    """The pool that runs the tasks of this tier on this backend."""
    return REDIS_POOL if backend == "redis" else POOL_OF_TIER[tier]


def plans_served(pool: str | None) -> list[str]:
    """Plans whose tenants' own queues a worker of this pool serves; a worker without a pool serves all."""
    return sorted(tier.value for tier in OWN_QUEUES if pool in (None, POOL_OF_TIER[tier]))


def serves_shared(pool: str | None) -> bool:
    """Whether it serves the shared queues, and what still waits in the queue of a tenant that has left its tier."""
    return pool in (None, POOL_OF_TIER[Tier.STANDARD])
