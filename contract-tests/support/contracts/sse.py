"""Server-Sent Events as a browser's EventSource reads them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Event:
    """One dispatched event; `data` is parsed JSON."""

    name: str
    data: dict[str, Any]


async def read_events(response: httpx.Response) -> AsyncIterator[Event]:
    """The events of a stream: fields by the WHATWG rules, comments passed over."""
    name, data = "message", list[str]()
    async for line in response.aiter_lines():
        if not line:
            if data:
                yield Event(name, json.loads("\n".join(data)))
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)


@asynccontextmanager
async def following(
    url: str, headers: Mapping[str, str], first: Event, **query: Any
) -> AsyncIterator[AsyncIterator[Event]]:
    """What a stream of a real server tells after its first event, which says that it is open."""
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream("GET", url, params=query, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        told = read_events(answer)
        async with asyncio.timeout(20):
            assert await anext(told) == first
        yield told
