"""`NewsWatch`: what it cannot tell of one by one, it tells to have been missed."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.news.watch import CHANNEL, NewsWatch
from gateway.storage.database import Database


class SaidListener:
    """Passes on what the test says."""

    def __init__(self) -> None:
        self.heard: dict[str, Any] = {}

    def subscribe(self, channel: str, heard: Any, *, missed: Any = None) -> None:
        self.heard[channel] = heard


async def test_entries_that_cannot_be_read_are_missed() -> None:
    """Of PostgreSQL that is away, and of more entries than are kept."""
    listener: Any = SaidListener()
    database = Database("postgresql://nobody@127.0.0.1:9/none")
    watch = NewsWatch(database, listener)
    subscription = watch.subscribe().open()
    for entry in range(1100):
        listener.heard[CHANNEL](f'{{"entry": {entry}}}')
    flood = await subscription.changes(1)
    assert flood is not None
    assert flood.missed
    listener.heard[CHANNEL]('{"entry": 1}')
    reading = asyncio.create_task(watch.run())
    gap = await subscription.changes(20)
    assert gap is not None
    assert gap.missed
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await database.close()
