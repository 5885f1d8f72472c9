"""An upgrade under traffic, and the way back: the last commit before a migration, beside the present one.

`docs/upgrading.md` promises that the release before goes on while the schema is migrated, and that it runs on the new
schema. Both sides are programs of their own, with the libraries of the present one. The migration is the newest one,
and the first of those that changed how tasks are stored (`0180_phase`), with all that came after it at once.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from contracts.flag import Flag
from contracts.people import Household, People
from contracts.world import PATIENCE, Servers
from deploy.local.ports import free_port
from gateway.routing.stages import Stage
from gateway.storage.database import Database
from gateway.storage.schema.migrate import create_legacy_tables
from workers.testing.waiting import eventually

ROOT = Path(__file__).parents[3]
SUPPORT = ROOT / "contract-tests" / "support"
MIGRATIONS = "gateway/storage/schema/migrations/versions"
COMMAND = "import sys; sys.path.insert(0, sys.argv.pop(1)); from taskgate_command import main; main()"
#: Tasks of each phase, at least.
ENOUGH = 40
#: Tasks that ended before: several pages for what migrations fill.
ENDED = """
WITH log AS (
    INSERT INTO task_logs (id, group_id, task_type, status, created_at, started_at, completed_at, worker_id, payload)
    SELECT 'ended-' || n, 'g', 't', 'COMPLETED', now(), now(), now(), 'w', '{}' FROM generate_series(1, 12000) n
), history AS (
    INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, ended_at, outcome, is_counted)
    SELECT 'ended-' || n, 1, 1, 'redis', 'w', now(), 'completed', true FROM generate_series(1, 12000) n
)
INSERT INTO taskgate.dispatch (task_id, group_id, task_type, state, backend, epoch, attempt, finished_at)
SELECT 'ended-' || n, 'g', 't', 'completed', 'redis', 1, 1, now() FROM generate_series(1, 12000) n
"""
INVALID_INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
WRONG_PHASES = "SELECT count(*) FROM taskgate.dispatch WHERE phase IS DISTINCT FROM taskgate.phase_of(state)"


async def git(*words: str) -> bytes | None:
    """What git says; None: it cannot, as in a copy without history."""
    program = await asyncio.create_subprocess_exec(
        "git", *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    said, _ = await program.communicate()
    return said if program.returncode == 0 else None


@pytest.fixture(params=["newest", "0180_phase"])
async def previous(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The code of before this migration."""
    name = max((ROOT / MIGRATIONS).glob("0*.py")).name if request.param == "newest" else f"{request.param}.py"
    added = await git("log", "--diff-filter=A", "--format=%H", "-1", "--", f"{MIGRATIONS}/{name}")
    commit = (added or b"").decode().strip()
    archive = await git("archive", "--format=tar", f"{commit}^") if commit else None
    if archive is None:
        pytest.skip("this copy has no history to take the previous code from")
    tree = tmp_path / "previous"
    tree.mkdir()
    unpack = await asyncio.create_subprocess_exec("tar", "-xC", tree, stdin=asyncio.subprocess.PIPE)
    await unpack.communicate(archive)
    assert unpack.returncode == 0
    assert not (tree / MIGRATIONS / name).exists()
    return tree


@dataclass
class Side:
    """One release: its programs, and the address of its gateway."""

    name: str
    tree: Path
    settings: dict[str, str]
    url: str = ""
    running: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def begin(self, *words: str) -> asyncio.subprocess.Process:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASKGATE_")}
        own = {"PYTHONPATH": f"{self.tree}{os.pathsep}{SUPPORT}", "TASKGATE_TEST_SIDE": self.name, **self.settings}
        program = [sys.executable, "-P", "-c", COMMAND, str(self.tree)]
        return await asyncio.create_subprocess_exec(*program, *words, env=inherited | own, cwd=self.tree)

    async def migrate(self) -> None:
        process = await self.begin("db", "migrate")
        assert await process.wait() == 0

    async def start(self) -> None:
        """A gateway, which serves when this returns, and a worker of each backend."""
        self.settings["TASKGATE_HTTP_PORT"] = str(port := free_port())
        self.url = f"http://127.0.0.1:{port}"
        for words in (("serve",), ("worker", "--backend", "redis"), ("worker", "--backend", "temporal")):
            self.running.append(await self.begin(*words))
        async with httpx.AsyncClient(base_url=self.url) as http:

            async def is_up() -> bool:
                try:
                    return (await http.get("/gateway/v1/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(is_up, within=PATIENCE)

    async def leave(self) -> None:
        """Told to end; what it was doing is finished or handed back."""
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            # The gateway's server ends by the signal itself, once all is done.
            assert [await process.wait() for process in self.running] == [-signal.SIGTERM, 0, 0]
        self.running = []

    async def kill(self) -> None:
        for process in self.running:
            if process.returncode is None:
                process.kill()
            await process.wait()


class Traffic:
    """Tasks of both tenants, at every gateway that is named, without a pause."""

    def __init__(self, homes: list[Household]) -> None:
        self.urls: list[str] = []
        self.accepted: list[str] = []
        self.refused: list[Any] = []
        self._homes = homes
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE) as http:
            while True:
                async with self._turn:
                    for url in self.urls:
                        for home in self._homes:
                            await self._send(http, url, home)
                await asyncio.sleep(0.02)

    async def only(self, *urls: str) -> None:
        """Send there from now on; no request to another one is under way."""
        async with self._turn:
            self.urls = list(urls)

    async def more(self) -> None:
        """Return when enough was accepted since."""
        goal = len(self.accepted) + ENOUGH
        await eventually(self._count, lambda count: count >= goal or self.refused, within=PATIENCE)
        assert self.refused == []

    async def _count(self) -> int:
        return len(self.accepted)

    async def _send(self, http: httpx.AsyncClient, url: str, home: Household) -> None:
        body = {"type": "written_run", "payload": {}, "project_id": home.project_id}
        try:
            answer = await http.post(f"{url}/gateway/v1/tasks", json=body, headers=home.owner.headers)
        except httpx.TransportError as error:
            self.refused.append(error)
            return
        if answer.status_code == 202:
            self.accepted.append(answer.json()["task_id"])
        else:
            self.refused.append((answer.status_code, answer.text))


class Run:
    """A run of a DAG that waits for an answer, as long as it is open."""

    DAG = "nodes: {ok: {approval: {message: go?}}}"

    def __init__(self, home: Household) -> None:
        self._home = home
        self._id = ""

    async def begin(self, side: Side) -> None:
        """Return when a worker has carried it as far as it goes."""
        await self._ask(side, "PUT", "dags/waits", content=self.DAG)
        started = {"dag": "waits", "params": {}, "project_id": self._home.project_id}
        self._id = (await self._ask(side, "POST", "dag-runs", json=started))["run_id"]
        await self._until(side, lambda run: any(node["status"] == "waiting" for node in run["nodes"]))

    async def end(self, side: Side) -> None:
        """Answered there; return when it is completed."""
        await self._ask(side, "POST", f"dag-runs/{self._id}/nodes/ok/approve", json={"approved": True})
        await self._until(side, lambda run: run["status"] == "completed")

    async def _until(self, side: Side, holds: Callable[[Any], bool]) -> None:
        await eventually(lambda: self._ask(side, "GET", f"dag-runs/{self._id}"), holds, within=PATIENCE)

    async def _ask(self, side: Side, method: str, path: str, **body: Any) -> Any:
        kind = {"Content-Type": "application/yaml"} if "content" in body else {}
        async with httpx.AsyncClient(base_url=f"{side.url}/gateway/v1/", timeout=PATIENCE) as http:
            answer = await http.request(method, path, headers=self._home.owner.headers | kind, **body)
        assert answer.is_success, answer.text
        return answer.json()


@asynccontextmanager
async def database_of_before(url: str) -> AsyncIterator[str]:
    """One with MemStack's tables alone."""
    name = f"upgrade_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(url)
    await admin.execute(f'CREATE DATABASE "{name}"')
    own = f"{url.rpartition('/')[0]}/{name}"
    await create_legacy_tables(own)
    try:
        yield own
    finally:
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()


async def test_an_upgrade_under_traffic_and_back(
    previous: Path, own_servers: Servers, queue: Any, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    flag = Flag(tmp_path / "flags.json")
    async with database_of_before(own_servers.database_url) as url:
        settings = {
            "TASKGATE_DATABASE_URL": url,
            "TASKGATE_REDIS_URL": own_servers.redis_url or "",
            "TASKGATE_TEMPORAL_ADDRESS": own_servers.temporal_address or "",
            "TASKGATE_TEMPORAL_NAMESPACE": own_servers.temporal_namespace,
            "TASKGATE_FLAGS_FILE": str(flag.path),
            "TASKGATE_GRPC_ENABLED": "false",
            "TASKGATE_HANDLERS": "contracts.written_runs",
            "TASKGATE_TEST_RUNS": str(runs),
        }
        old, new = Side("old", previous, dict(settings)), Side("new", ROOT, dict(settings))
        database = Database(url, size=2)
        people = People(database)
        homes = [await people.household(), await people.household()]
        flag.write(Stage.OFF)
        flag.write(Stage.LIVE, homes[1].tenant_id)
        traffic = Traffic(homes)
        run = Run(homes[1])
        sending = asyncio.create_task(traffic.run())
        try:
            await old.migrate()
            await database.execute(ENDED)
            await old.start()
            await traffic.only(old.url)
            await traffic.more()
            await run.begin(old)
            await new.migrate()
            await traffic.more()
            await new.start()
            await traffic.only(old.url, new.url)
            await traffic.more()
            await traffic.only(new.url)
            await old.leave()
            await traffic.more()
            await run.end(new)
            # And back.
            await old.start()
            await traffic.only(old.url, new.url)
            await traffic.more()
            await traffic.only(old.url)
            await new.leave()
            await traffic.more()
            await traffic.only()

            async def unfinished() -> list[str]:
                rows = await database.fetch(
                    "SELECT id FROM task_logs WHERE id = ANY ($1) AND status <> 'COMPLETED'", traffic.accepted
                )
                return [row["id"] for row in rows]

            await eventually(unfinished, lambda ids: not ids, within=PATIENCE)
            assert traffic.refused == []
            assert await database.fetch(INVALID_INDEXES) == []
            assert await database.fetchval(WRONG_PHASES) == 0
            lines = [line.split() for line in runs.read_text().splitlines()]
            assert Counter(task for _, task in lines) == Counter(traffic.accepted)
            rows = await database.fetch("SELECT task_id, backend FROM taskgate.dispatch WHERE group_id <> 'g'")
            backend_of = {row["task_id"]: row["backend"] for row in rows}
            assert {(side, backend_of[task]) for side, task in lines} == {
                (side, backend) for side in ("old", "new") for backend in ("redis", "temporal")
            }
        finally:
            sending.cancel()
            await asyncio.gather(old.kill(), new.kill())
            await database.close()
