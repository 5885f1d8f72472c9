"""Sends tasks through one system: `producer.py MODULE PREFIX COUNT KIND RATE`.

Task ids are PREFIX-0, PREFIX-1, …; RATE is tasks per second at random moments (0: as fast as 16 senders, or
BENCH_SENDERS, can). Each task's sending is noted in the effects file just before. MODULE has `open_sender()`, a context
manager of `async send(task_id, kind)`.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import random
import sys
from collections.abc import Awaitable, Callable

from effects import note

SENDERS = int(os.environ.get("BENCH_SENDERS", "16"))


async def main(module: str, prefix: str, count: int, kind: str, rate: float) -> None:
    names = [f"{prefix}-{number}" for number in range(count)]
    async with importlib.import_module(module).open_sender() as send:
        if rate:
            await paced(send, names, kind, rate)
        else:
            waiting = iter(names)
            await asyncio.gather(*(sender(send, waiting, kind) for _ in range(SENDERS)))


async def one(send: Callable[[str, str], Awaitable[None]], name: str, kind: str) -> None:
    note("sent", name)
    await send(name, kind)


async def sender(send: Callable[[str, str], Awaitable[None]], names: object, kind: str) -> None:
    for name in names:  # type: ignore[attr-defined]
        await one(send, name, kind)


async def paced(send: Callable[[str, str], Awaitable[None]], names: list[str], kind: str, rate: float) -> None:
    """At the moments of a Poisson process, so that no system's polling falls into step with them."""
    loop = asyncio.get_running_loop()
    chance = random.Random(7)
    due = loop.time()
    under_way = set()
    for name in names:
        due += chance.expovariate(rate)
        await asyncio.sleep(max(0.0, due - loop.time()))
        task = asyncio.create_task(one(send, name, kind))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    if under_way:
        await asyncio.gather(*under_way)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], float(sys.argv[5])))
    if "temporalio" in sys.modules:
        os._exit(0)  # its SDK can abort an interpreter that ends in the ordinary way (sdk-python#300)
