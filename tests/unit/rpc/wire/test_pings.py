"""PING: signs of life, from either side."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.rpc.wire import frames


async def test_a_client_may_measure_the_way_of_its_data(client: Any) -> None:
    """C-core pings when data comes, to find out how much can be under way."""
    number = client.open("/test/Tick", end=True)
    pings = 0
    while number in client.connection.calls:
        if any(kind == frames.DATA for kind, *_ in client.frames()):
            client.feed(frames.frame(frames.PING, 0, 0, bytes(8)))
            pings += 1
        await asyncio.sleep(0)
    assert pings == 30
    assert not client.transport.closing


async def test_a_quiet_client_is_pinged_and_given_up(make_client: Any) -> None:
    patient, hasty = make_client(keepalive=0.01), make_client(keepalive=0.01, patience=0.01)
    await patient.until(lambda: any(kind == frames.PING for kind, *_ in patient.frames()))
    patient.feed(frames.frame(frames.PING, frames.ACK, 0, bytes(8)))
    assert not patient.transport.aborted
    await hasty.until(lambda: hasty.transport.aborted)
    patient.lose()
    hasty.lose()
