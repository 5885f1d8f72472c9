"""PostgreSQL and Redis over TLS: the addresses that `docs/connections.md` shows, on real servers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from backends.errors import EngineUnavailable
from backends.redis_queue.engine import RedisQueueEngine
from contracts.authority import Authority, TlsProxy
from deploy.local.ports import free_port
from deploy.local.postgres import PostgresPart
from deploy.local.process import Command
from deploy.local.unprivileged import unprivileged
from gateway.errors import DatabaseUnavailable
from gateway.storage.database import Database
from workers.testing.waiting import eventually

PATIENCE = 60.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    directory = tmp_path / "stranger"
    directory.mkdir()
    return Authority(directory)


@pytest.fixture
async def secured_redis(authority: Authority, redis_server: str) -> AsyncIterator[TlsProxy]:
    """A Redis that takes clients with a certificate alone; TLS ends at a proxy, as not every build of Redis has it."""
    at = urlsplit(redis_server)
    async with TlsProxy(f"{at.hostname}:{at.port}", authority) as proxy:
        yield proxy


class SecuredPostgres(PostgresPart):
    """Takes TLS, from clients with a certificate."""

    certificate: Path
    key: Path
    authority: Path

    async def command(self) -> Command:
        command = await super().command()
        for file in (self.certificate, self.key, self.authority):
            unprivileged().own(file)
            file.chmod(0o600)
        settings = {
            "ssl": "on",
            "ssl_cert_file": self.certificate,
            "ssl_key_file": self.key,
            "ssl_ca_file": self.authority,
        }
        (self.data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n")
        unprivileged().own(self.data / "pg_hba.conf")
        more = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return replace(command, argv=[*command.argv, *more])


@dataclass
class Secured:
    """A PostgreSQL that takes clients with a certificate alone."""

    port: int
    authority: Authority

    def url(self, *, authority: Path | None = None, certificate: bool = True) -> str:
        """Of a client that trusts the server's authority, or this one."""
        address = f"postgresql://postgres@127.0.0.1:{self.port}/postgres?sslmode=verify-full"
        own = f"&sslcert={self.client[0]}&sslkey={self.client[1]}" if certificate else ""
        return f"{address}&sslrootcert={authority or self.authority.file}{own}"

    def __post_init__(self) -> None:
        self.client = self.authority.issue("client")


@pytest.fixture
async def secured_postgres(authority: Authority, tmp_path: Path) -> AsyncIterator[Secured]:
    directory = tmp_path / "postgres"
    directory.mkdir()
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    part = SecuredPostgres(directory, free_port(), lambda *_: None, durable=False)
    part.certificate, part.key = authority.issue("server")
    part.authority = authority.file
    command = await part.command()
    process = await asyncio.create_subprocess_exec(
        *command.argv, cwd=command.cwd, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    secured = Secured(part.port, authority)

    async def is_up() -> bool:
        try:
            return await ask(secured.url()) is True
        except DatabaseUnavailable:
            return False

    try:
        await eventually(is_up, within=PATIENCE)
        yield secured
    finally:
        process.terminate()
        await process.wait()


async def ask(url: str) -> Any:
    """Whether the connection is secured."""
    database = Database(url, size=2)
    try:
        return await database.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    finally:
        await database.close()


async def test_redis(secured_redis: TlsProxy, authority: Authority, stranger: Authority) -> None:
    certificate, key = authority.issue("client")

    async def ask(url: str) -> None:
        engine = RedisQueueEngine(url, timeout=5)
        try:
            await engine.check_health()
        finally:
            await engine.close()

    address = f"rediss://{secured_redis.address}/0"
    own = f"ssl_certfile={certificate}&ssl_keyfile={key}"
    await ask(f"{address}?ssl_ca_certs={authority.file}&{own}")
    for refused in (
        f"{address}?ssl_ca_certs={stranger.file}&{own}",
        f"{address}?ssl_ca_certs={authority.file}",
        f"redis://{secured_redis.address}/0",
    ):
        with pytest.raises(EngineUnavailable):
            await ask(refused)


async def test_postgresql(secured_postgres: Secured, stranger: Authority) -> None:
    for refused in (
        secured_postgres.url(authority=stranger.file),
        secured_postgres.url(certificate=False),
        f"postgresql://postgres@127.0.0.1:{secured_postgres.port}/postgres?sslmode=disable",
    ):
        with pytest.raises((DatabaseUnavailable, ssl.SSLError, asyncpg.InvalidAuthorizationSpecificationError)):
            await ask(refused)


async def test_the_next_connection_to_postgresql_shows_the_new_certificate(secured_postgres: Secured) -> None:
    """What is open goes on with the old one."""
    shown = "SELECT client_serial::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    database = Database(secured_postgres.url(), size=2)
    try:
        async with database.transaction() as first:
            before = await first.fetchval(shown)
            secured_postgres.authority.issue("client")
            async with database.transaction() as second:
                assert await second.fetchval(shown) != before
            assert await first.fetchval(shown) == before
    finally:
        await database.close()


async def test_the_next_connection_to_redis_shows_the_new_certificate(
    secured_redis: TlsProxy, authority: Authority
) -> None:
    certificate, key = authority.issue("client")
    own = f"ssl_certfile={certificate}&ssl_keyfile={key}"
    engine = RedisQueueEngine(f"rediss://{secured_redis.address}/0?ssl_ca_certs={authority.file}&{own}", timeout=5)
    try:
        await engine.check_health()
        before = set(secured_redis.serials)
        authority.issue("client")
        await engine.check_health()
        assert set(secured_redis.serials) == before
        await secured_redis.cut()
        await engine.check_health()
        assert set(secured_redis.serials) > before
    finally:
        await engine.close()
