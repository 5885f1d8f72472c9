"""A server that ends says so on idle connections, a moment before it closes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from workers.testing.waiting import works


class LastWords:
    """Stands before the server, and keeps a connection open that the server has closed."""

    def __init__(self, url: str) -> None:
        self.ended = asyncio.Event()
        self._url = urlsplit(url)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def open(self) -> str:
        """The address for clients."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return self._url._replace(netloc=f"{self._url.netloc.rpartition(':')[0]}:{port}").geturl()

    async def close_what_ended(self) -> None:
        for writer in self._writers:
            writer.close()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self.close_what_ended()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        self._writers += [writer, onward_writer]
        for source, sink in ((reader, onward_writer), (onward_reader, writer)):
            self._tasks.add(asyncio.create_task(self._pump(source, sink, is_answer=sink is writer)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        if is_answer:
            self.ended.set()


@pytest_asyncio.fixture
async def between(database_url: str) -> AsyncIterator[LastWords]:
    between = LastWords(database_url)
    yield between
    await between.close()


async def test_a_connection_that_was_told_of_the_end_is_unavailable_and_no_other_error(
    between: LastWords, database_url: str
) -> None:
    database = Database(await between.open(), size=1)
    pid = await database.fetchval("SELECT pg_backend_pid()")
    admin = await asyncpg.connect(database_url)
    await admin.execute("SELECT pg_terminate_backend($1)", pid)
    await admin.close()
    async with asyncio.timeout(10):
        await between.ended.wait()
    for _ in range(100):  # the client reads what is there
        await asyncio.sleep(0)

    with pytest.raises(DatabaseUnavailable):
        await database.fetchval("SELECT 1")

    await between.close_what_ended()
    assert await works(lambda: database.fetchval("SELECT 1"), DatabaseUnavailable) == 1
    await database.close()
