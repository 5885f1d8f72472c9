"""Whoever follows the stages hears what guardrails do, on every gateway."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.migration.guardrails.happening import Happening, Kind
from gateway.migration.guardrails.store import add_events
from gateway.migration.guardrails.watch import GuardrailWatch
from gateway.migration.stages.watch import StageWatch
from gateway.storage.listener import Listener


async def test_the_stream_of_stages_carries_events(rails: Any) -> None:
    routing, listener = rails.routing, Listener(rails.database)
    stage_watch = StageWatch(routing.flags, routing.overrides, routing.router)
    watch = GuardrailWatch(rails.database, listener, stage_watch.tell)
    running = asyncio.create_task(watch.run())
    listener.start()
    await listener.wait_listening()
    subscription = stage_watch.subscribe()
    try:
        async with asyncio.timeout(20):
            changes = subscription.changes(60)
            first = await anext(changes)
            assert first is not None
            assert first[0] == "stages"
            async with rails.database.transaction() as db:
                await add_events(db, [Happening(Kind.HELD, "acme", "backup fails", evidence={"asked": 12})])
            told = await anext(changes)
        assert told is not None
        name, event = told
        assert (name, event["kind"], event["tenant_id"], event["why"]) == ("guardrail", "held", "acme", "backup fails")
        assert (event["who"], event["evidence"]) == (None, {"asked": 12})
    finally:
        subscription.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await listener.close()
