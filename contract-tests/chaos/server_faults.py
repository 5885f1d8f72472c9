"""What strikes Redis, Temporal and PostgreSQL themselves; each fault ends with everything running again."""

from __future__ import annotations

import asyncio
import random

from world import World


async def restart_redis(world: World, chance: random.Random) -> None:
    redis = world.stack.part("redis")
    await redis.kill()
    await asyncio.sleep(chance.uniform(0, 1.5))
    await redis.start()


async def empty_redis(world: World, chance: random.Random) -> None:
    await world.flush_redis()


async def copies_in_redis(world: World, chance: random.Random) -> None:
    for _ in range(5):
        await world.copy_in_redis()
        await asyncio.sleep(0.2)


async def redis_refuses(world: World, chance: random.Random) -> None:
    """Its memory is full: it takes no command that would need more."""
    await world.limit_redis(1)
    await asyncio.sleep(chance.uniform(1, 4))
    await world.limit_redis(0)


async def restart_temporal(world: World, chance: random.Random) -> None:
    temporal = world.stack.part("temporal")
    await temporal.kill()
    await temporal.start()


async def kill_one_temporal(world: World, chance: random.Random) -> None:
    """One of several: the others go on with its share."""
    node = chance.choice(world.stack.temporal_nodes)
    await node.kill()
    await asyncio.sleep(chance.uniform(1, 5))
    await node.start()


async def restart_postgres(world: World, chance: random.Random) -> None:
    postgres = world.stack.part("postgres")
    await postgres.stop()
    await postgres.start()
