"""What strikes the connections between one side and one server; each fault ends with all of them working again."""

from __future__ import annotations

import asyncio
import random

from links import SIDES
from world import World


async def cut_connection(world: World, chance: random.Random) -> None:
    """Between two of them nothing is open, and nothing can be opened."""
    async with world.links.proxy.cut(world.links.next(chance)):
        await asyncio.sleep(chance.uniform(0.1, 4))


async def slow_connection(world: World, chance: random.Random) -> None:
    link = world.links.faulty[world.links.next(chance)]
    link.requests_late = link.answers_late = chance.uniform(0.02, 0.4)
    await asyncio.sleep(chance.uniform(1, 4))
    link.requests_late = link.answers_late = 0.0


async def hung_connection(world: World, chance: random.Random) -> None:
    """Longer than a lease, now and then."""
    async with world.links.proxy.hung(world.links.next(chance)):
        await asyncio.sleep(chance.uniform(0.5, 5))


async def swallowed_answers(world: World, chance: random.Random) -> None:
    """Requests arrive; nothing comes back."""
    async with world.links.proxy.swallowed(world.links.next(chance)):
        await asyncio.sleep(chance.uniform(0.5, 5))


async def late_answers(world: World, chance: random.Random) -> None:
    """Requests arrive; each answer comes ten seconds later."""
    link = world.links.faulty[world.links.next(chance)]
    link.answers_late = 10.0
    await asyncio.sleep(chance.uniform(1, 12))
    link.answers_late = 0.0


async def vanished_connections(world: World, chance: random.Random) -> None:
    """What is open swallows everything for as long as anybody cares; what is opened anew works."""
    link = world.links.faulty[world.links.next(chance)]
    link.silence()
    await asyncio.sleep(chance.uniform(5, 15))
    link.drop_silent()


async def leader_half_open(world: World, chance: random.Random) -> None:
    """The connection under which one gateway leads swallows everything; all others work."""
    if await world.silence_leader():
        await asyncio.sleep(chance.uniform(5, 10))
    world.links.faulty["gateway-postgres"].drop_silent()


async def hot_standby(world: World, chance: random.Random) -> None:
    """A fail-over: the endpoint of PostgreSQL leads to a standby, which refuses every write, and back."""
    link = f"{chance.choice(SIDES)}-postgres"
    async with world.links.proxy.led_to(link, await world.standby()):
        await asyncio.sleep(chance.uniform(2, 8))


async def redis_replica(world: World, chance: random.Random) -> None:
    """The same of Redis: a replica refuses every write, and what it holds may be old."""
    async with world.links.proxy.led_to(f"{chance.choice(SIDES)}-redis", await world.replica()):
        await asyncio.sleep(chance.uniform(2, 8))


async def temporal_refuses(world: World, chance: random.Random) -> None:
    """RESOURCE_EXHAUSTED for every call of one side."""
    async with world.links.proxy.led_to(f"{chance.choice(SIDES)}-temporal", world.refusing.address):
        await asyncio.sleep(chance.uniform(1, 4))
