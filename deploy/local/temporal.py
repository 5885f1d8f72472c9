"""Temporal server nodes: all services in one process each, on the stack's PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, fields
from pathlib import Path

import yaml
from temporalio.client import Client
from temporalio.service import RPCError, TLSConfig

from deploy.local.builds import Report
from deploy.local.part import Part
from deploy.local.ports import free_port, is_free
from deploy.local.process import Command
from deploy.local.temporal_binaries import TemporalPrograms, locate
from deploy.local.temporal_config import FrontendTls, NodePorts, SqlServer, dynamic_config, server_config
from deploy.local.temporal_schema import ensure_schema
from deploy.local.temporal_setup import DEFAULT_NAMESPACE, RPC_TIMEOUT, ensure_namespace, usable

HEALTH_SECONDS = 5.0


class TemporalPart(Part):
    """One node. Nodes that share a PostgreSQL form one cluster; start them one after the other."""

    start_seconds = 90.0

    def __init__(
        self,
        directory: Path,
        port: int,
        report: Report,
        *,
        sql: SqlServer,
        namespace: str = DEFAULT_NAMESPACE,
        cluster_address: str = "",
        name: str = "temporal",
        tls: FrontendTls | None = None,
    ) -> None:
        super().__init__(name, directory, port, report)
        self.tls = tls
        self.sql = sql
        self.namespace = namespace
        self.cluster_address = cluster_address or self.url
        self.config = directory / "config" / name
        self.programs: TemporalPrograms | None = None

    @property
    def url(self) -> str:
        """The frontend's `host:port`, as Temporal's clients take it."""
        return f"127.0.0.1:{self.port}"

    async def prepare(self) -> None:
        """Finds the programs or builds them."""
        self.programs = self.programs or await locate(self.report)

    async def command(self) -> Command:
        """Writes the two configuration files and brings the schema up to date."""
        programs = self.programs or await locate(self.report)
        await ensure_schema(self.sql, programs)
        self.config.mkdir(parents=True, exist_ok=True)
        dynamic = self.config / "dynamic.yaml"
        dynamic.write_text(yaml.safe_dump(dynamic_config()))
        config = server_config(self._ports(), self.sql, self.cluster_address, str(dynamic), self.tls)
        file = self.config / "server.yaml"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(config, sort_keys=False))
        return Command([str(programs.server), "--allow-no-auth", "--config-file", str(file), "start"])

    async def healthy(self) -> bool:
        """Whether the frontend serves; the namespace is seen to in `after_start`."""
        try:
            client = await self._client()
            # The call's own time-out does not cover the connecting.
            async with asyncio.timeout(HEALTH_SECONDS):
                return await client.service_client.check_health(timeout=RPC_TIMEOUT)
        except (RPCError, RuntimeError, TimeoutError):
            return False

    async def after_start(self) -> None:
        """The namespace, usable by the time this returns."""
        await ensure_namespace(self.url, self.namespace, tls=self._trust())

    async def usable(self) -> bool:
        """Whether this node serves the namespace now; for tests that stop and start nodes."""
        return await usable(await self._client(), self.namespace)

    async def _client(self) -> Client:
        return await Client.connect(self.url, namespace=self.namespace, lazy=True, tls=self._trust() or False)

    def _trust(self) -> TLSConfig | None:
        return None if self.tls is None else TLSConfig(server_root_ca_cert=self.tls.authority.read_bytes())

    def _ports(self) -> NodePorts:
        # Kept with the data, so that a node that comes back has the addresses its peers remember.
        file = self.config / "ports.json"
        names = [field.name for field in fields(NodePorts) if field.name != "frontend"]
        try:
            kept = {name: int(number) for name, number in json.loads(file.read_text()).items()}
        except (FileNotFoundError, json.JSONDecodeError):
            kept = {}
        chosen = {name: kept[name] if name in kept and is_free(kept[name]) else free_port() for name in names}
        ports = NodePorts(frontend=self.port, **chosen)
        file.write_text(json.dumps({key: value for key, value in asdict(ports).items() if key != "frontend"}))
        return ports
