"""A reader's clock that is wrong, and a gateway that is restarted while one looks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, expect

from contracts.people import Household
from contracts.world import World
from visitor import Visitor, visiting


class Door:
    """One address, whichever gateway is behind it; none: nothing answers."""

    def __init__(self) -> None:
        self.behind: str | None = None
        self.url = ""
        self._open: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Door]:
        server = await asyncio.start_server(self._let_in, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            self.shut()
            server.close()
            await server.wait_closed()

    def shut(self) -> None:
        """Nobody is behind it, and whoever is in is cut off."""
        self.behind = None
        for writer in self._open:
            writer.transport.abort()

    async def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.behind is None:
            writer.transport.abort()
            return
        place = urlsplit(self.behind)
        there, back = await asyncio.open_connection(place.hostname, place.port)
        self._open |= {writer, back}
        with suppress(ConnectionError):
            await asyncio.gather(_pass(reader, back), _pass(there, writer))
        self._open -= {writer, back}


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def test_a_gateway_is_restarted_while_one_looks(browser: Browser, world: World, home: Household) -> None:
    async with Door().opened() as door, visiting(browser, door.url, None) as visit:
        visitor: Visitor = await visit()
        page = visitor.page
        async with world.another_gateway() as door.behind:
            await visitor.sign_in(home.owner.key, "tasks")
            first = await world.submit(home)
            await expect(page.locator(f"[title='{first}']")).to_be_visible()
            door.shut()
        await expect(page.get_by_text("Disconnected since")).to_be_visible()
        meanwhile = await world.submit(home)
        async with world.another_gateway() as door.behind:
            await expect(page.locator(f"[title='{meanwhile}']")).to_be_visible()
            await expect(page.get_by_text("Disconnected since")).to_be_hidden()
            later = await world.submit(home)
            await expect(page.locator(f"[title='{later}']")).to_be_visible()
            door.shut()
        # The browser writes down that nobody answered.
        visitor.faults[:] = [fault for fault in visitor.faults if "ERR_" not in fault]


@pytest.mark.parametrize("wrong", [-3600, 3600])
async def test_a_clock_that_is_wrong_by_an_hour_makes_no_age_wrong(
    visit: Any, world: World, home: Household, wrong: int
) -> None:
    visitor: Visitor = await visit()
    page = visitor.page
    await page.clock.install(time=datetime.now(UTC) + timedelta(seconds=wrong))
    await visitor.sign_in(home.owner.key, "tasks")
    task_id = await world.submit(home)
    row = page.get_by_role("row").filter(has=page.locator(f"[title='{task_id}']"))
    await expect(row).to_contain_text("completed")
    await expect(row.locator("time")).to_have_text(re.compile(r"^(now|\d+ sec\. ago)$"))
