"""A proxy before PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from workers.testing.proxy import FaultyProxy


def through(proxy: FaultyProxy, url: str) -> str:
    """The same database, by the proxy."""
    at = urlsplit(url)
    return at._replace(netloc=f"{at.netloc.rpartition(':')[0]}:{proxy.port}").geturl()


@pytest_asyncio.fixture
async def proxy(database_url: str) -> AsyncIterator[FaultyProxy]:
    at = urlsplit(database_url)
    proxy = FaultyProxy(at.hostname or "", at.port or 0)
    await proxy.open()
    yield proxy
    await proxy.close()


@pytest.fixture
def proxied_url(proxy: FaultyProxy, database_url: str) -> str:
    return through(proxy, database_url)
