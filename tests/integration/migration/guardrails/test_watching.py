"""Whoever follows the stages hears what guardrails do, on every gateway."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.migration.guardrails.event import GuardrailEvent, Kind
from gateway.migration.guardrails.store import SQL, add_events
from gateway.migration.guardrails.watch import GuardrailWatch
from gateway.migration.stages.watch import StageWatch
from gateway.storage.forgetting import forget
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
                await add_events(db, [GuardrailEvent(Kind.HELD, "acme", "backup fails", evidence={"asked": 12})])
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


async def test_old_events_are_forgotten_in_batches(rails: Any) -> None:
    db = rails.database
    await db.execute(
        "INSERT INTO taskgate.guardrail_event (at, tenant_id, kind, why, who, evidence)"
        " SELECT now() - make_interval(days => 32 - n), 'acme', 'held', n::text, '', '{}'"
        " FROM generate_series(1, 7) AS n"
    )
    await forget(db, SQL.forget_events, 30, batch=2)
    left = await db.fetch("SELECT why FROM taskgate.guardrail_event WHERE tenant_id = 'acme' ORDER BY id")
    assert [row["why"] for row in left] == ["3", "4", "5", "6", "7"]
