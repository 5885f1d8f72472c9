"""Copies of one database, made ahead while tests run and dropped behind them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import asyncpg


class DatabaseStock:
    """Fresh copies of a template, which must have no connection.

    To copy and to drop one takes a quarter of a second: a test that waited for its own would do little else.
    """

    def __init__(self, server: str, template: str, *, ahead: int = 2) -> None:
        self._server = server
        self._template = template
        self._ahead = ahead
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._used: list[str] = []
        self._changed = asyncio.Event()
        self._closing = False
        self._supplier: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._supplier = asyncio.create_task(self._supply())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._changed.set()
        if self._supplier is not None:
            await self._supplier

    @asynccontextmanager
    async def one(self) -> AsyncIterator[str]:
        """The address of a copy of the caller's own, as a superuser."""
        name = await self._next()
        try:
            yield f"{self._server.rpartition('/')[0]}/{name}"
        finally:
            self._used.append(name)
            self._changed.set()

    async def _next(self) -> str:
        if self._supplier is None:
            raise RuntimeError("the stock is not open")
        getting = asyncio.create_task(self._ready.get())
        await asyncio.wait({getting, self._supplier}, return_when=asyncio.FIRST_COMPLETED)
        if self._supplier.done():
            getting.cancel()
            self._supplier.result()
        self._changed.set()
        return await getting

    async def _supply(self) -> None:
        admin = await asyncpg.connect(self._server)
        try:
            while not self._closing or self._used:
                if not self._closing and self._ready.qsize() < self._ahead:
                    name = f"test_{secrets.token_hex(6)}"
                    # Copying through the log, the default, takes twice the processor time.
                    await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{self._template}" STRATEGY FILE_COPY')
                    self._ready.put_nowait(name)
                elif self._used:
                    await admin.execute(f'DROP DATABASE IF EXISTS "{self._used.pop()}" WITH (FORCE)')
                else:
                    self._changed.clear()
                    await self._changed.wait()
        finally:
            while not self._ready.empty():
                await admin.execute(f'DROP DATABASE IF EXISTS "{self._ready.get_nowait()}" WITH (FORCE)')
            await admin.close()
