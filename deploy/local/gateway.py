"""Our own processes: the gateway and its workers, as child processes of the stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from deploy.local import taskgate
from deploy.local.builds import Report
from deploy.local.env import parse_env, read_env
from deploy.local.part import Part
from deploy.local.ports import require_free, variable
from deploy.local.process import Command

Environment = Callable[[], Mapping[str, str]]

WORKER_PREFIX = "worker-"


class GatewayPart(Part):
    """`taskgate serve`, on a database that is migrated and, when it is the stack's own, seeded first."""

    def __init__(
        self,
        directory: Path,
        port: int,
        report: Report,
        *,
        grpc_port: int,
        environment: Environment,
        own_database: bool = True,
        name: str = "gateway",
    ) -> None:
        super().__init__(name, directory, port, report)
        self.grpc_port = grpc_port
        self.own_database = own_database
        self.keys: dict[str, str] = {}
        self._environment = environment

    @property
    def url(self) -> str:
        """The address that clients are pointed at."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port_variable(self) -> str:
        """The HTTP port is the gateway's."""
        return variable("http")

    @property
    def addresses(self) -> dict[str, str]:
        """Where the gateway listens, for clients."""
        return {"TASKGATE_URL": self.url, "TASKGATE_GRPC_ADDRESS": f"127.0.0.1:{self.grpc_port}"}

    async def prepare(self) -> None:
        """Fails early, with what to do, when the command is not installed."""
        taskgate.program()

    async def command(self) -> Command:
        """Brings the database up to date, then serves."""
        require_free(self.name, self.grpc_port, variable("grpc"))
        await self._seed()
        environment = {
            **self._environment(),
            "TASKGATE_HTTP_PORT": str(self.port),
            "TASKGATE_GRPC_PORT": str(self.grpc_port),
        }
        return Command([taskgate.program(), "serve"], env=environment, cwd=taskgate.CHECKOUT)

    def notes(self) -> dict[str, int]:
        """Both ports."""
        return {"port": self.port, "grpc": self.grpc_port}

    async def healthy(self) -> bool:
        """`GET /health`, as clients and load balancers ask it."""
        try:
            async with httpx.AsyncClient(timeout=2) as client:
                return (await client.get(f"{self.url}/health")).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    async def _seed(self) -> None:
        environment = self._environment()
        if self.own_database:
            # Legacy tables and demo tenants are made only in a database that belongs to the stack.
            await taskgate.run("db", "legacy", "--create", environment=environment)
        await taskgate.run("db", "migrate", environment=environment)
        if self.own_database:
            known = self.directory / "env"
            arguments = ["--keys-from", str(known)] if read_env(known) else []
            self.keys = parse_env(await taskgate.run("db", "seed", *arguments, environment=environment))


class WorkerPart(Part):
    """`taskgate worker`: healthy once it has touched the file that `TASKGATE_READY_FILE` names."""

    def __init__(self, name: str, directory: Path, report: Report, *, environment: Environment) -> None:
        super().__init__(name, directory, 0, report)
        self.backend = name.removeprefix(WORKER_PREFIX)
        self.ready_file = directory / "run" / f"{name}.ready"
        self._environment = environment

    @property
    def url(self) -> str:
        """A worker listens on nothing."""
        return "-"

    async def prepare(self) -> None:
        """Fails early, with what to do, when the command is not installed."""
        taskgate.program()

    async def command(self) -> Command:
        """One process for one backend."""
        self.ready_file.parent.mkdir(parents=True, exist_ok=True)
        self.ready_file.unlink(missing_ok=True)
        environment = {
            "TASKGATE_MODELS_MODULE": "deploy.demo",
            **self._environment(),
            "TASKGATE_READY_FILE": str(self.ready_file),
        }
        argv = [taskgate.program(), "worker", "--backend", self.backend]
        return Command(argv, env=environment, cwd=taskgate.CHECKOUT)

    async def healthy(self) -> bool:
        """Whether it polls for tasks."""
        return self.ready_file.exists()
