"""The knowledge graph over TLS: the gateway's dry run, and the workers' driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from contracts.authority import Authority, TlsProxy
from gateway.errors import GraphUnavailable
from gateway.graph.preview import find_duplicates
from workers.graph.driver import GroupAwareDriver


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def secured(authority: Authority, neo4j_server: str) -> AsyncIterator[TlsProxy]:
    at = urlsplit(neo4j_server)
    async with TlsProxy(f"{at.hostname}:{at.port}", authority, asks=False) as proxy:
        yield proxy


async def one(url: str) -> int:
    """What the workers' driver is answered."""
    driver = GroupAwareDriver(lambda: url)
    try:
        answer = await driver.execute_query("RETURN 1 AS one")
        return int(answer.records[0]["one"])
    finally:
        await driver.close()


async def test_an_authority_that_is_trusted(
    secured: TlsProxy, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    url = f"bolt+s://{secured.address}"
    assert await find_duplicates(url, ["nobody"], 0.9) == []
    assert await one(url) == 1


async def test_an_authority_that_nobody_trusts_is_refused(secured: TlsProxy) -> None:
    with pytest.raises(GraphUnavailable):
        await find_duplicates(f"bolt+s://{secured.address}", ["nobody"], 0.9)


async def test_any_certificate_where_the_address_says_so(secured: TlsProxy) -> None:
    url = f"bolt+ssc://{secured.address}"
    assert await find_duplicates(url, ["nobody"], 0.9) == []
    assert await one(url) == 1
