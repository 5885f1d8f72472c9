"""TLS to Temporal, both ways, with certificates that expire and are replaced while tasks run.

TLS ends at a proxy before the real server, which takes only clients with a certificate of its authority.
"""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.errors import EngineUnavailable
from backends.temporal.engine import TemporalEngine
from backends.temporal.security import Security
from contracts.authority import Authority, TlsProxy
from contracts.probes import BOARD
from contracts.world import PATIENCE, Servers, World
from gateway.settings import Settings
from workers.testing.waiting import eventually


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def proxy(temporal_server: str, authority: Authority) -> AsyncIterator[TlsProxy]:
    async with TlsProxy(temporal_server, authority, protocol="h2") as proxy:
        yield proxy


class SecuredWorld(World):
    """Gateway and workers show a certificate."""

    def __init__(self, servers: Servers, directory: Path, files: dict[str, Path]) -> None:
        super().__init__("live", servers, directory)
        self._files = files

    def settings(self, **more: Any) -> Settings:
        return super().settings(**{**self._files, **more})


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


async def test_a_certificate_that_expires_in_mid_run_is_replaced_without_a_restart(
    own_servers: Servers, proxy: TlsProxy, authority: Authority, tmp_path: Path
) -> None:
    """What is open goes on after the expiry. What has to connect anew waits until there is a new certificate."""
    certificate, key = authority.issue("client", datetime.timedelta(seconds=8))
    files = {"temporal_tls_ca": authority.file, "temporal_tls_certificate": certificate, "temporal_tls_key": key}
    servers = replace(own_servers, temporal_address=proxy.address)
    async with SecuredWorld(servers, tmp_path, files).running() as world:
        home = await world.people.household()
        assert (await world.ended(await world.submit(home)))["status"] == "COMPLETED"
        await until_refused(proxy, files)
        assert (await world.ended(await world.submit(home)))["status"] == "COMPLETED"

        await proxy.cut()
        waiting = await world.submit(home)
        await eventually(lambda: backend_of(world), lambda part: part["status"] == "away", within=PATIENCE)
        assert (await world.row(waiting))["status"] == "PROCESSING"
        authority.issue("client")
        assert (await world.ended(waiting))["status"] == "COMPLETED"
        assert BOARD.runs[waiting] == 1


async def test_a_new_certificate_is_used_before_the_old_one_is_missed(
    own_servers: Servers, proxy: TlsProxy, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("client", datetime.timedelta(seconds=10))
    files = {"temporal_tls_ca": authority.file, "temporal_tls_certificate": certificate, "temporal_tls_key": key}
    servers = replace(own_servers, temporal_address=proxy.address)
    async with SecuredWorld(servers, tmp_path, files).running() as world:
        home = await world.people.household()
        async with world.held(home) as (running, hold):
            before = set(proxy.serials)
            authority.issue("client")
            async with asyncio.timeout(PATIENCE):
                # Of the gateway, and of the worker.
                while sum(count for serial, count in proxy.serials.items() if serial not in before) < 2:
                    await asyncio.sleep(0.05)
            hold.release()
            assert (await world.ended(running))["status"] == "COMPLETED"
        assert (await world.ended(await world.submit(home)))["status"] == "COMPLETED"
        assert BOARD.runs[running] == 1


async def backend_of(world: World) -> dict[str, Any]:
    """Temporal, as `ready` sees it."""
    return dict((await world.client().get("/gateway/v1/ready")).json()["backends"]["temporal"])


async def until_refused(proxy: TlsProxy, files: dict[str, Path]) -> None:
    """Return when the proxy takes this certificate no longer."""
    context = ssl.create_default_context(cafile=str(files["temporal_tls_ca"]))
    context.load_cert_chain(files["temporal_tls_certificate"], files["temporal_tls_key"])
    context.set_alpn_protocols(["h2"])
    # With 1.3 the client's part of the handshake is over before its certificate is looked at.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    host, _, port = proxy.address.rpartition(":")
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port), ssl=context)
            except (ssl.SSLError, OSError):
                return
            writer.transport.abort()
            await asyncio.sleep(0.2)
