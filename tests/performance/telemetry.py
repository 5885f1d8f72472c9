"""(t) What telemetry costs: processor time a task, with traces sampled at 5 % and at 100 %, and without.

Three stacks of the same kind stand side by side, each with metrics. Rounds of tasks go to them in turn, in another
order each time. Spans go to a receiver in this process, which does not count. `TELEMETRY_ROUNDS` rounds of
`TELEMETRY_TASKS` tasks with a payload of 2 kB, on `TELEMETRY_BACKEND`: `redis`, on which a task is cheapest, or
`temporal`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median
from typing import Any

import asyncpg

from tests.performance.side import Side
from tests.performance.stack import client, measured_stack
from tests.performance.table import paired_ratio

TASKS = int(os.environ.get("TELEMETRY_TASKS", "400"))
ROUNDS = int(os.environ.get("TELEMETRY_ROUNDS", "12"))
BACKEND = os.environ.get("TELEMETRY_BACKEND", "redis")
TENANT = {"redis": "initech", "temporal": "acme"}[BACKEND]
WORKER = f"worker-{BACKEND}"
PARTS = ("postgres", "redis", *(("temporal",) if BACKEND == "temporal" else ()), "gateway", WORKER)
#: Without, and so large a share of traces.
SHARES = {"off": "0", "5 %": "0.05", "100 %": "1"}


class Receiver:
    """Takes spans over OTLP (HTTP), and counts the requests."""

    def __init__(self) -> None:
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.partition(b":")[2])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                )
                await reader.readexactly(length)
                self.requests += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def _side(share: str, address: str) -> AsyncIterator[Side]:
    given = {"TASKGATE_TRACE_SHARE": share, "OTEL_EXPORTER_OTLP_ENDPOINT": address}
    os.environ.update(given)
    try:
        async with measured_stack(PARTS) as stack, client(stack, TENANT) as http:
            for name in given:
                os.environ.pop(name, None)
            database = await asyncpg.connect(stack.database_url)
            yield Side(stack, http, database, ("gateway", WORKER), TASKS)
            await database.close()
    finally:
        for name in given:
            os.environ.pop(name, None)


async def run() -> dict[str, Any]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    received: dict[str, int] = dict.fromkeys(SHARES, 0)
    rounds: list[dict[str, dict[str, float]]] = []
    async with AsyncExitStack() as all_sides:
        sides = {name: await all_sides.enter_async_context(_side(share, address)) for name, share in SHARES.items()}
        for side in sides.values():
            await side.round()
        names = list(SHARES)
        for number in range(ROUNDS):
            turn = names[number % 3 :] + names[: number % 3]
            if number % 2:
                turn.reverse()
            found = {}
            for name in turn:
                before = receiver.requests
                found[name] = await sides[name].round()
                received[name] += receiver.requests - before
            rounds.append(found)
    server.close()
    figures: dict[str, Any] = {}
    for what in ("ours", "all"):
        without = [one["off"][what] for one in rounds]
        figures[what] = {"off_ms": round(median(without), 3)}
        for name in list(SHARES)[1:]:
            figures[f"{what}, {name}"] = {
                "ms": round(median(one[name][what] for one in rounds), 3),
                "ratio": paired_ratio([one[name][what] for one in rounds], without),
            }
    figures["receiver"] = {name: received[name] for name in SHARES}
    return {f"telemetry {BACKEND}": figures}
