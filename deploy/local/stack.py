"""The composition: which parts there are, what each needs, and starting and stopping them together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.builds import Report
from deploy.local.cache import file_lock
from deploy.local.chosen_ports import ChosenPorts
from deploy.local.env import NAMED_BY, read_env, write_env
from deploy.local.errors import PartUnavailableError, StackError
from deploy.local.gateway import GatewayPart, WorkerPart
from deploy.local.haproxy import HaproxyPart
from deploy.local.neo4j import Neo4jPart
from deploy.local.part import External, Part
from deploy.local.ports import PortChoice, is_free
from deploy.local.postgres import PostgresPart, Programs
from deploy.local.process import destroy_directory
from deploy.local.redis import RedisPart
from deploy.local.teardown import stop_directory
from deploy.local.template import prepared_cluster
from deploy.local.temporal import TemporalPart
from deploy.local.temporal_config import FrontendTls, SqlServer
from deploy.local.temporal_setup import DEFAULT_NAMESPACE
from deploy.local.temporal_ui import TemporalUiPart

# In the order in which they are started; stopped in the opposite order.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "postgres": (),
    "redis": (),
    "neo4j": (),
    "temporal": ("postgres",),
    "temporal-ui": ("temporal",),
    "gateway": ("postgres", "redis", "temporal"),
    "worker-temporal": ("gateway", "temporal", "neo4j"),
    "worker-redis": ("gateway", "redis", "neo4j"),
}

SERVERS = ("postgres", "redis", "temporal", "neo4j")


def _with_needs(names: Collection[str]) -> set[str]:
    needs = {need for name in names for need in NEEDS[name]}
    return set(names) | (_with_needs(needs) if needs else set())


@dataclass(frozen=True)
class PartStatus:
    """One line of `status`."""

    name: str
    state: str
    address: str
    pid: int | None


class EmbeddedStack:
    """The stack in one directory. `ports="free"` is for tests: free ports, and no servers from the environment."""

    def __init__(
        self,
        directory: Path,
        parts: Collection[str] = tuple(NEEDS),
        ports: PortChoice = "default",
        *,
        report: Report = lambda _: None,
        durable: bool = True,
        namespace: str = DEFAULT_NAMESPACE,
        temporal_nodes: int = 1,
        temporal_tls: FrontendTls | None = None,
    ) -> None:
        unknown = set(parts) - set(NEEDS)
        if unknown:
            raise StackError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(NEEDS)}")
        self.directory = directory.absolute()
        self.env_file = self.directory / "env"
        self.temporal_namespace = namespace
        self.temporal_nodes: list[TemporalPart] = []
        self._proxy: HaproxyPart | None = None  # before the nodes, when several were asked for
        self.parts: dict[str, Part | External] = {}
        self._ports = ChosenPorts(self.directory, ports)
        self._names_servers = ports == "default"
        self._report = report
        self._durable, self._nodes_wanted, self._temporal_tls = durable, temporal_nodes, temporal_tls
        for name in NEEDS:
            if name in parts:
                part = self._make(name)
                self.parts[name] = self._external(part) or part

    # What clients of the stack need to know.

    @property
    def database_url(self) -> str:
        """The superuser's address of the gateway's database."""
        return self._url("postgres")

    @property
    def redis_url(self) -> str:
        """The address of the queue's database."""
        return self._url("redis")

    @property
    def temporal_address(self) -> str:
        """`host:port` of the frontend; of several nodes that were asked for, what stands before them."""
        return self._url("temporal")

    @property
    def graph_url(self) -> str:
        """The Bolt address."""
        return self._url("neo4j")

    def part(self, name: str) -> Part:
        """The handle of a part that this stack runs."""
        part = self.parts.get(name)
        if isinstance(part, Part):
            return part
        raise StackError(f"{name} is not a part that this stack runs")

    def environment(self) -> dict[str, str]:
        """What our own processes, and people's shells, are told about the stack."""
        addresses = {NAMED_BY[name]: self._url(name) for name in SERVERS if name in self.parts}
        variables = {
            **addresses,
            "TASKGATE_TEMPORAL_NAMESPACE": self.temporal_namespace,
            "TASKGATE_FLAGS_FILE": str(self.directory / "flags.json"),
            # graphiti-core would otherwise report to its makers from each process.
            "GRAPHITI_TELEMETRY_ENABLED": "false",
        }
        if self._temporal_tls is not None:
            variables["TASKGATE_TEMPORAL_TLS_CA"] = str(self._temporal_tls.authority)
        if "temporal-ui" in self.parts:
            variables["TASKGATE_TEMPORAL_UI_URL"] = self.parts["temporal-ui"].url
        gateway = self.parts.get("gateway")
        if isinstance(gateway, GatewayPart):
            variables |= gateway.addresses
        return variables

    # Starting and stopping.

    async def start(self, only: Collection[str] = ()) -> None:
        """Starts what is not running (of `only` and what those need), as much at once as the needs allow.

        When something fails, the rest goes on as far as it can, and the first failure in order is raised.
        """
        wanted = [name for name in self.parts if not only or name in _with_needs(only)]
        async with file_lock(self.directory / "run" / "stack.lock", lambda: self._report("another `up` is at work")):
            self._say_ports()
            tasks: dict[str, asyncio.Task[None]] = {}
            for name in wanted:
                needed = [tasks[need] for need in NEEDS[name] if need in tasks]
                tasks[name] = asyncio.create_task(self._bring_up(name, needed))
            try:
                outcomes = await asyncio.gather(*tasks.values(), return_exceptions=True)
            finally:
                for task in tasks.values():
                    task.cancel()
            self._ports.remember()
            gateway = self.parts.get("gateway")
            # Also when something failed: the keys that were seeded are told only once.
            self.write_env(gateway.keys if isinstance(gateway, GatewayPart) else {})
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome

    async def stop(self) -> list[str]:
        """Stops what was started in this directory, dependants first; the names of what was stopped."""
        return await stop_directory(self.directory)

    async def destroy(self) -> None:
        """Kills everything at once and removes the directory: for tests, which keep nothing."""
        await destroy_directory(self.directory)

    async def add_temporal_node(self) -> TemporalPart:
        """Starts one more Temporal server on the same database: together they are one cluster."""
        name = f"temporal-{len(self.temporal_nodes) + 1}"
        node = self._temporal(name, self._port(name))
        await node.start()
        return node

    async def _complete_cluster(self, proxy: HaproxyPart) -> None:
        """More nodes on the database of the first one, and one address for all of them."""
        while len(self.temporal_nodes) < self._nodes_wanted:
            await self.add_temporal_node()
        proxy.servers |= {f"TEMPORAL_{number}": node.url for number, node in enumerate(self.temporal_nodes, 1)}
        await proxy.start()

    def write_env(self, more: Mapping[str, str]) -> dict[str, str]:
        """Merges the stack's variables, and `more`, into the env file; returns the whole."""
        variables = {**read_env(self.env_file), **self.environment(), **more}
        if key := variables.get("TASKGATE_ADMIN_KEY"):
            # What `taskgate` shows the gateway.
            variables["TASKGATE_API_KEY"] = key
        write_env(self.env_file, variables)
        return variables

    async def status(self) -> list[PartStatus]:
        """How each part is, asked of the parts themselves."""
        return list(await asyncio.gather(*(self._status(part) for part in self.parts.values())))

    # Construction.

    def _external(self, part: Part) -> External | None:
        named_by = NAMED_BY.get(part.name)
        url = os.environ.get(named_by, "") if named_by and self._names_servers else ""
        if not named_by or not url:
            return None
        # A shell that has sourced our env file names our own server, which may be down.
        ours = url == part.url and (part.running or is_free(part.port))
        return None if ours else External(part.name, url, named_by)

    def _make(self, name: str) -> Part:
        directory, number, report = self.directory, self._port(name), self._report
        match name:
            case "postgres":
                return PostgresPart(directory, number, report, durable=self._durable, template=self._template)
            case "redis":
                return RedisPart(directory, number, report, durable=self._durable)
            case "neo4j":
                return Neo4jPart(directory, number, report)
            case "temporal":
                if self._nodes_wanted > 1:
                    self._proxy = HaproxyPart(directory, report, {}, port=self._port("haproxy"))
                return self._temporal(name, number)
            case "temporal-ui":
                return TemporalUiPart(directory, number, report, temporal=self.temporal_address)
            case "gateway":
                return GatewayPart(
                    directory,
                    number,
                    report,
                    grpc_port=self._port("grpc"),
                    environment=self.environment,
                    own_database=isinstance(self.parts.get("postgres"), Part),
                )
            case _:
                return WorkerPart(name, directory, report, environment=self.environment)

    def _temporal(self, name: str, number: int) -> TemporalPart:
        node = TemporalPart(
            self.directory,
            number,
            self._report,
            sql=SqlServer.from_url(self.database_url),
            namespace=self.temporal_namespace,
            cluster_address=self.temporal_nodes[0].url if self.temporal_nodes else "",
            name=name,
            tls=self._temporal_tls,
        )
        self.temporal_nodes.append(node)
        return node

    async def _template(self, programs: Programs) -> Path | None:
        if not isinstance(self.parts.get("temporal"), TemporalPart):
            return None
        try:
            return await prepared_cluster(programs, self._report)
        except PartUnavailableError:
            # PostgreSQL alone can still be had; who needs Temporal is told by the part itself.
            return None

    def _port(self, name: str) -> int:
        if name.startswith("worker"):
            return 0
        return self._ports.choose({"gateway": "http"}.get(name, name.replace("-", "_")))

    def _url(self, name: str) -> str:
        if name not in self.parts:
            raise StackError(f"this stack has no {name}")
        part = self.parts[name]
        return self._proxy.url if self._proxy is not None and isinstance(part, TemporalPart) else part.url

    def _say_ports(self) -> None:
        for name, line in self._ports.moved.items():
            part = self.parts.get({"http": "gateway", "grpc": "gateway"}.get(name, name.replace("_", "-")))
            if isinstance(part, Part):
                self._report(f"{part.name}: {line}")

    async def _bring_up(self, name: str, needed: Sequence[asyncio.Task[None]]) -> None:
        part = self.parts[name]
        if isinstance(part, Part) and not part.running:
            # Builds need nothing that runs, so they need not wait for it.
            await part.prepare()
        await asyncio.gather(*needed)
        if isinstance(part, External):
            if not await part.reachable():
                raise StackError(f"{name}: nothing answers at {part.url}, which {part.named_by} names")
            self._report(f"{name}: using the one that {part.named_by} names")
            return
        await part.start()
        if name == "temporal" and self._proxy is not None:
            await self._complete_cluster(self._proxy)

    async def _status(self, part: Part | External) -> PartStatus:
        if isinstance(part, External):
            return PartStatus(part.name, "external" if await part.reachable() else "unreachable", part.url, None)
        process = part.process.find()
        if process is None:
            return PartStatus(part.name, "stopped", "-", None)
        return PartStatus(part.name, "healthy" if await part.healthy() else "unhealthy", part.url, process.pid)
