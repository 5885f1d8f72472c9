"""HAProxy before two gateways and three Temporal nodes: from PATH, else Debian's package, unpacked into the cache.

It runs with the configuration of the compose file (`deploy/docker/haproxy.cfg`), whose addresses are variables.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.builds import Report, require_tool, run_build
from deploy.local.cache import obtain
from deploy.local.part import Part
from deploy.local.ports import free_port, is_free
from deploy.local.process import Command

CONFIG = Path(__file__).parents[1] / "docker" / "haproxy.cfg"
#: The package, and those that it needs beside what every Debian has.
_PACKAGES = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1", "libpcre2-8-0", "libsystemd0")


@dataclass(frozen=True)
class HaproxyProgram:
    """`libraries` holds what it was unpacked with; empty for the system's own."""

    path: Path
    libraries: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What it needs to start."""
        return {"LD_LIBRARY_PATH": self.libraries} if self.libraries else {}


async def locate(report: Report) -> HaproxyProgram:
    """PATH, else the cache, which is filled when empty. Raises `PartUnavailableError`."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))  # where Debian has it
    if found := shutil.which("haproxy", path=path):
        return HaproxyProgram(Path(found))

    async def unpack(directory: Path) -> None:
        hint = "install HAProxy, or put haproxy on PATH"
        apt = require_tool("haproxy", "apt-get", hint)
        shell = require_tool("haproxy", "sh", hint)
        await run_build("haproxy", [apt, "download", *_PACKAGES], report, cwd=directory)
        extract = 'for package in *.deb; do dpkg-deb --extract "$package" . && rm "$package" || exit 1; done'
        await run_build("haproxy", [shell, "-c", extract], report, cwd=directory)

    entry = await obtain("haproxy-debian", unpack, lambda: report("haproxy: another process is unpacking it"))
    libraries = await asyncio.to_thread(lambda: sorted({str(file.parent) for file in entry.rglob("lib*.so.*")}))
    return HaproxyProgram(entry / "usr" / "sbin" / "haproxy", os.pathsep.join(libraries))


class HaproxyPart(Part):
    """One process; `servers` are the variables of the configuration that name servers (`GATEWAY_1`, `TEMPORAL_1` …).

    A server that is left out has an address at which nobody listens.
    """

    def __init__(
        self, directory: Path, report: Report, servers: Mapping[str, str], *, port: int = 0, name: str = "haproxy"
    ) -> None:
        super().__init__(name, directory, port or free_port(), report)
        self._listen = {"PROXY_HTTP": free_port(), "PROXY_GRPC": free_port(), "PROXY_TEMPORAL": self.port}
        self.servers = dict(servers)
        self._program: HaproxyProgram | None = None

    @property
    def url(self) -> str:
        """`host:port` of Temporal's frontends."""
        return f"127.0.0.1:{self.port}"

    @property
    def gateway_url(self) -> str:
        """The gateways' HTTP."""
        return f"http://127.0.0.1:{self._listen['PROXY_HTTP']}"

    @property
    def grpc_address(self) -> str:
        """The gateways' gRPC."""
        return f"127.0.0.1:{self._listen['PROXY_GRPC']}"

    async def prepare(self) -> None:
        """Finds the program or unpacks it."""
        self._program = self._program or await locate(self.report)

    async def command(self) -> Command:
        """Everything on the loopback address."""
        await self.prepare()
        assert self._program is not None
        names = [f"GATEWAY_{number}{face}" for number in (1, 2) for face in ("", "_GRPC")]
        nobody = dict.fromkeys([*names, *(f"TEMPORAL_{number}" for number in (1, 2, 3))], "127.0.0.1:1")
        listen = {name: f"127.0.0.1:{port}" for name, port in self._listen.items()}
        environment = {**nobody, **self.servers, **listen, **self._program.environment}
        return Command([str(self._program.path), "-db", "-f", str(CONFIG)], environment)

    async def healthy(self) -> bool:
        """Whether it listens."""
        return not is_free(self.port)
