"""PostgreSQL and Redis over TLS: the addresses that `docs/connections.md` shows, on real servers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
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


async def healthy(is_so: Callable[[], Awaitable[bool]]) -> None:
    await eventually(is_so, within=PATIENCE)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    directory = tmp_path / "stranger"
    directory.mkdir()
    return Authority(directory)


@pytest.fixture
async def secured_redis(authority: Authority, redis_server: str) -> AsyncIterator[str]:
    """A Redis that takes clients with a certificate alone; TLS ends at a proxy, as not every build of Redis has it."""
    at = urlsplit(redis_server)
    async with TlsProxy(f"{at.hostname}:{at.port}", authority) as proxy:
        yield proxy.address


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


async def test_redis(secured_redis: str, authority: Authority, stranger: Authority) -> None:
    certificate, key = authority.issue("client")

    async def ask(url: str) -> None:
        engine = RedisQueueEngine(url, timeout=5)
        try:
            await engine.check_health()
        finally:
            await engine.close()

    address = f"rediss://{secured_redis}/0"
    own = f"ssl_certfile={certificate}&ssl_keyfile={key}"
    await ask(f"{address}?ssl_ca_certs={authority.file}&{own}")
    for refused in (
        f"{address}?ssl_ca_certs={stranger.file}&{own}",
        f"{address}?ssl_ca_certs={authority.file}",
        f"redis://{secured_redis}/0",
    ):
        with pytest.raises(EngineUnavailable):
            await ask(refused)


async def test_postgresql(authority: Authority, stranger: Authority, tmp_path: Path) -> None:
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
    certificate, key = authority.issue("client")
    address = f"postgresql://postgres@127.0.0.1:{part.port}/postgres"
    own = f"sslcert={certificate}&sslkey={key}"

    async def ask(url: str) -> Any:
        database = Database(url, size=2)
        try:
            return await database.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        finally:
            await database.close()

    async def is_up() -> bool:
        try:
            return bool(await ask(f"{address}?sslmode=verify-full&sslrootcert={authority.file}&{own}"))
        except DatabaseUnavailable:
            return False

    try:
        await healthy(is_up)
        for refused in (
            f"{address}?sslmode=verify-full&sslrootcert={stranger.file}&{own}",
            f"{address}?sslmode=verify-full&sslrootcert={authority.file}",
            f"{address}?sslmode=disable",
        ):
            with pytest.raises((DatabaseUnavailable, ssl.SSLError, asyncpg.InvalidAuthorizationSpecificationError)):
                await ask(refused)
    finally:
        process.terminate()
        await process.wait()
