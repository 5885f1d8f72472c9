"""TLS to Temporal, both ways.

TLS ends at a proxy before the real server, which takes only clients with a certificate of its authority.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backends.errors import EngineUnavailable
from backends.temporal.engine import TemporalEngine
from backends.temporal.security import Security
from contracts.authority import Authority, TlsProxy


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def proxy(temporal_server: str, authority: Authority) -> AsyncIterator[TlsProxy]:
    async with TlsProxy(temporal_server, authority, protocol="h2") as proxy:
        yield proxy


async def answers(engine: TemporalEngine) -> None:
    try:
        await engine.check_health()
    finally:
        await engine.close()


async def test_both_ends_are_checked(
    proxy: TlsProxy, authority: Authority, temporal_namespace: str, tmp_path: Path
) -> None:
    certificate, key = authority.issue("client")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stranger = Authority(elsewhere)
    strange, strange_key = stranger.issue("client")

    def engine(**security: Any) -> TemporalEngine:
        return TemporalEngine(proxy.address, temporal_namespace, timeout=5, security=Security(**security))

    await answers(engine(server_ca=authority.file, certificate=certificate, key=key))
    await answers(engine(server_ca=authority.file, server_name="temporal.internal", certificate=certificate, key=key))
    for refused in (
        {},
        {"server_ca": authority.file},
        {"server_ca": authority.file, "certificate": strange, "key": strange_key},
        {"server_ca": stranger.file, "certificate": certificate, "key": key},
        {"tls": True, "certificate": certificate, "key": key},
        {"server_ca": authority.file, "server_name": "another", "certificate": certificate, "key": key},
        {"server_ca": authority.file, "certificate": tmp_path / "none.pem", "key": key},
    ):
        with pytest.raises(EngineUnavailable):
            await answers(engine(**refused))
