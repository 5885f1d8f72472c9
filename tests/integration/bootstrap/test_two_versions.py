"""The version before and this one, side by side over one database, which is migrated under traffic (docs/upgrading.md).

Until there are releases, the version before is the commit before the newest migration.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tarfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO
from pathlib import Path

import asyncpg
import httpx
import pytest

from deploy.local.ports import free_port

CHECKOUT = Path(__file__).parents[3]
VERSIONS = "gateway/storage/schema/migrations/versions"
PACKAGES = ("backends", "gateway", "workers", "taskgate_command.py", "pyproject.toml")
HANDLERS = CHECKOUT / "contract-tests" / "chaos"
PAUSE = 0.03


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(CHECKOUT), *arguments], check=True, capture_output=True).stdout


def heads(commit: str) -> set[str]:
    """The migrations of a commit that none follows; several in the midst of merges."""
    found = git("grep", "-hE", "^(down_)?revision", commit, "--", VERSIONS).decode()
    down, own = (
        set(re.findall(rf'^{name}\b.*= "(\w+)"', found, re.MULTILINE)) for name in ("down_revision", "revision")
    )
    return own - down


def version_before() -> str:
    """The newest commit of the main line that lacks the newest migration, and whose own are one chain."""
    untracked = git("ls-files", "--others", "--exclude-standard", "--", VERSIONS)
    if untracked or git("diff", "--name-only", "HEAD", "--", VERSIONS):
        return "HEAD"
    added = ("--first-parent", "-m", "--diff-filter=A", "--format=%H^")
    commits = git("log", *added, "--", VERSIONS).decode().split()
    return next(commit for commit in commits if len(heads(commit)) == 1)


class Version:
    """A checkout whose `taskgate` runs in this environment, on one database and Redis."""

    def __init__(self, place: Path, settings: dict[str, str], effects: Path) -> None:
        rest = {name: value for name, value in os.environ.items() if not name.startswith("TASKGATE_")}
        path = os.pathsep.join((str(place), str(HANDLERS)))
        self._environment = (
            rest | {f"TASKGATE_{name}": value for name, value in settings.items()} | {"PYTHONPATH": path}
        )
        self._environment["CHAOS_EFFECTS"] = str(effects)
        self._place = place

    async def start(self, line: str, **more: str) -> asyncio.subprocess.Process:
        program = f"import sys; sys.path.insert(0, {str(self._place)!r}); import taskgate_command as t; t.main()"
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, *shlex.split(line)),
            env=self._environment | {f"TASKGATE_{name}": value for name, value in more.items()},
            stdout=asyncio.subprocess.PIPE,
        )

    async def run(self, line: str) -> str:
        process = await self.start(line)
        output, _ = await process.communicate()
        assert process.returncode == 0, line
        return output.decode()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """A gateway and a worker; its address. Both end orderly."""
        ready = Path(self._environment["CHAOS_EFFECTS"]).with_name(f"ready-{uuid.uuid4().hex}")
        url = f"http://127.0.0.1:{(port := free_port())}"
        processes = [
            await self.start("serve", HTTP_PORT=str(port), GRPC_ENABLED="false"),
            await self.start("worker --pool redis", READY_FILE=str(ready)),
        ]
        try:
            async with asyncio.timeout(60), httpx.AsyncClient() as http:
                while not (ready.exists() and await answers(http, url)):
                    assert all(process.returncode is None for process in processes)
                    await asyncio.sleep(0.05)
            yield url
            for process in processes:
                process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                await asyncio.gather(*(process.communicate() for process in processes))
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                    await process.wait()


async def answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/gateway/v1/started")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


class Traffic:
    """Tasks to each of `urls` in turns; none may be refused."""

    def __init__(self, key: str) -> None:
        self._key = key
        self.urls: list[str] = []
        self.accepted: list[str] = []
        self.by: Counter[str] = Counter()

    async def run(self) -> None:
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {self._key}"}, timeout=30) as http:
            for number in range(10_000):
                url = self.urls[number % len(self.urls)]
                answer = await http.post(
                    f"{url}/gateway/v1/tasks", json={"type": "chaos_probe", "payload": {"ms": 5, "fail": 0}}
                )
                assert answer.status_code == httpx.codes.ACCEPTED, answer.text
                self.accepted.append(answer.json()["task_id"])
                self.by[url] += 1
                await asyncio.sleep(PAUSE)

    async def more(self, tasks: int) -> None:
        """Return once so many more are accepted at each address."""
        wanted = {url: self.by[url] + tasks for url in self.urls}
        async with asyncio.timeout(60):
            while any(self.by[url] < count for url, count in wanted.items()):
                await asyncio.sleep(0.05)


@pytest.mark.timeout(300)
async def test_an_upgrade_under_traffic(postgres_server: str, redis_server: str, queue: object, tmp_path: Path) -> None:
    """The order of docs/upgrading.md: migrate, add what is new, take away what is old. Every task runs once."""
    if not (CHECKOUT / ".git").exists():
        pytest.skip("this checkout has no history to take the version before from")
    before = tmp_path / "before"
    archive = BytesIO(git("archive", version_before(), *PACKAGES))
    with tarfile.open(fileobj=archive) as files:
        files.extractall(before, filter="data")
    name = f"two_versions_{uuid.uuid4().hex[:8]}"
    server = await asyncpg.connect(postgres_server)
    await server.execute(f"CREATE DATABASE {name}")
    effects = tmp_path / "effects.jsonl"
    settings = {
        "DATABASE_URL": f"{postgres_server.rpartition('/')[0]}/{name}",
        "REDIS_URL": redis_server,
        "HANDLERS": "probe",
    }
    old, new = Version(before, settings, effects), Version(CHECKOUT, settings, effects)
    await old.run("db legacy --create")
    earlier = json.loads(await old.run("db migrate --json"))["revision"]
    traffic = Traffic(json.loads(await old.run("db seed --json"))["TASKGATE_KEY_ACME"])
    async with AsyncExitStack() as both:
        async with old.serving() as url:
            traffic.urls = [url]
            sending = asyncio.create_task(traffic.run())
            await traffic.more(20)
            later = json.loads(await new.run("db migrate --json"))["revision"]
            assert later != earlier
            await traffic.more(20)
            traffic.urls = [url, await both.enter_async_context(new.serving())]
            await traffic.more(40)
            traffic.urls = traffic.urls[1:]
            await asyncio.sleep(0.5)  # what is on its way to the old one is answered
        await traffic.more(20)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        database = await asyncpg.connect(settings["DATABASE_URL"])
        async with asyncio.timeout(60):
            while await database.fetchval("SELECT count(*) FROM task_logs WHERE status <> 'COMPLETED'"):
                await asyncio.sleep(0.1)
        known = {row["id"] for row in await database.fetch("SELECT id FROM task_logs")}
        await database.close()
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()
    lines = [json.loads(line) for line in effects.read_text().splitlines()]
    runs = Counter(line["task"] for line in lines if line["event"] == "start")
    assert set(traffic.accepted) <= known
    assert len(known - set(traffic.accepted)) <= 1, "the last one's answer may have been cut"
    assert runs == dict.fromkeys(known, 1)
