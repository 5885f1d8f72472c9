"""`make demo`: an unchanged legacy client sends episodes for two tenants, one on each backend, and sees them finish."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from neo4j import AsyncGraphDatabase
from neo4j.exceptions import DriverError, Neo4jError

from deploy.local import taskgate
from deploy.local.env import read_env
from deploy.local.errors import StackError
from deploy.local.table import table

PATIENCE_SECONDS = 180.0
POLL_SECONDS = 0.2
FINISHED = ("Completed", "Failed", "Stopped")
SHOWN_FACTS = 12

NEXT = """
What to look at next, with every address and key in the shell (set -a; . {env}; set +a):
  {url}/console/
                                     the same in a browser (sign in with TASKGATE_ADMIN_KEY)
  taskgate task list                 the tasks of both backends as one list
  taskgate flags show                the stage of each tenant
  docs/how-to-move-a-tenant.md       what was done for acme here, step by step
  make status, make down             what runs, and its end"""

HEADER = ("tenant", "backend", "episode", "status", "duration")


@dataclass(frozen=True)
class Tenant:
    """A tenant of the demo: the stage its flag is set to, and what its client sends."""

    name: str
    stage: str
    episodes: Mapping[str, str]


TENANTS = (
    Tenant(
        "acme",
        "live",
        {
            "Hiring": "Alice Moreau joined Acme Robotics in Lyon as head of research. She reports to Victor Hale.",
            "Supplier": "Acme Robotics buys its motors from Brightwater Drives. Brightwater Drives is based in Graz.",
            "Project": "Alice Moreau leads the Heron project. Victor Hale asked her to show Heron in Berlin in May.",
        },
    ),
    Tenant(
        "initech",
        "off",
        {
            "Audit": "Peter Gibbons works at Initech in Austin. Bill Lumbergh manages Peter Gibbons.",
            "Move": "Initech moved its archive to Dallas. Milton Waddams looks after the archive in Dallas.",
            "Reports": "Bill Lumbergh sends the weekly reports to Peter Gibbons. Samir Nagheenanajar checks them.",
        },
    ),
)


@dataclass
class Sent:
    """One episode that was accepted."""

    tenant: Tenant
    backend: str
    name: str
    task_id: str
    task: dict[str, Any]


class Demo:
    """Runs against a stack that is up, from what its env file says and nothing else."""

    def __init__(self, env: Path) -> None:
        self._env = env
        self._variables = read_env(env)
        if not self._variables:
            raise StackError(f"there is no stack in {env.parent}; start it with `make up`")

    async def run(self) -> int:
        """Sends, watches, shows; the exit code."""
        began = time.monotonic()
        async with httpx.AsyncClient(base_url=self.address) as client:
            await client.get("/health")  # nothing else says in one line that nobody is there
        sent = [episode for tenant in TENANTS for episode in await self._send(tenant)]
        await self._watch(sent)
        print()
        rows = [(s.tenant.name, s.backend, s.name, s.task["status"], s.task["duration"]) for s in sent]
        print(table(rows, HEADER))
        for tenant in TENANTS:
            await self._show_graph(tenant)
        failed = [episode for episode in sent if episode.task["status"] != "Completed"]
        for episode in failed:
            print(f"{episode.tenant.name}: {episode.name}: {episode.task['error']}", file=sys.stderr)
        print(f"\n{len(sent) - len(failed)} of {len(sent)} episodes finished in {time.monotonic() - began:.1f} s")
        if ui := self._variables.get("TASKGATE_TEMPORAL_UI_URL"):
            print(f"Temporal's view of them: {ui}/namespaces/{self._variables['TASKGATE_TEMPORAL_NAMESPACE']}")
        print(NEXT.format(env=self._env, url=self.address))
        return 1 if failed else 0

    async def _send(self, tenant: Tenant) -> list[Sent]:
        why = f"the demo runs {tenant.name} at stage {tenant.stage}"
        await self._taskgate("flags", "set", *("--tenant", tenant.name), *("--stage", tenant.stage), "--why", why)
        explained = await self._taskgate("route", "explain", "--tenant", tenant.name, "--type", "add_episode", "--json")
        backend = str(json.loads(explained)["backend"])
        print(f"{tenant.name}: flag set to {tenant.stage}, so new tasks run on {backend}")
        sent = []
        async with self._client(tenant) as client:
            for name, content in tenant.episodes.items():
                body = {"name": name, "content": content, "project_id": self._project(tenant)}
                answer = await client.post("/api/v1/episodes/", params={"background": "true"}, json=body)
                accepted = _checked(answer)
                sent.append(Sent(tenant, backend, name, accepted["task_id"], {}))
                print(f"{tenant.name}: sent {name!r}, task {accepted['task_id']}")
        return sent

    async def _watch(self, sent: list[Sent]) -> None:
        """Reads each task's status until all are finished, as the legacy web front end does."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        waiting = list(sent)
        seen: dict[str, tuple[str, int]] = {}
        clients = {tenant.name: self._client(tenant) for tenant in TENANTS}
        try:
            while waiting:
                for episode in waiting:
                    answer = await clients[episode.tenant.name].get(f"/api/v1/tasks/{episode.task_id}")
                    episode.task = _checked(answer)
                    state = (episode.task["status"], episode.task["progress"])
                    if seen.get(episode.task_id) != state:
                        seen[episode.task_id] = state
                        print(f"{episode.tenant.name}: {episode.name!r} is {state[0]}, {state[1]} %")
                waiting = [episode for episode in waiting if episode.task["status"] not in FINISHED]
                if waiting and time.monotonic() > deadline:
                    raise StackError(f"{len(waiting)} tasks have not finished after {PATIENCE_SECONDS:.0f} s")
                await asyncio.sleep(POLL_SECONDS)
        finally:
            for client in clients.values():
                await client.aclose()

    async def _show_graph(self, tenant: Tenant) -> None:
        group = self._project(tenant)
        try:
            async with AsyncGraphDatabase.driver(self._variables["TASKGATE_GRAPH_URL"]) as driver:
                counts, _, _ = await driver.execute_query(
                    "MATCH (n {group_id: $group}) UNWIND labels(n) AS label "
                    "WITH label, count(*) AS nodes WHERE label IN ['Episodic', 'Entity', 'Community'] "
                    "RETURN label, nodes ORDER BY label",
                    group=group,
                )
                facts, _, _ = await driver.execute_query(
                    "MATCH (a:Entity {group_id: $group})-[r:RELATES_TO]->(b:Entity) "
                    "RETURN a.name AS source, r.name AS relation, b.name AS target ORDER BY source, target",
                    group=group,
                )
        except (DriverError, Neo4jError) as error:
            raise StackError(f"the graph at {self._variables['TASKGATE_GRAPH_URL']} cannot be read: {error}") from error
        nodes = ", ".join(f"{row['nodes']} {row['label']}" for row in counts)
        print(f"\nGraph of {tenant.name} (group {group}): {nodes or 'no nodes'}, {len(facts)} relations")
        for row in facts[:SHOWN_FACTS]:
            print(f"  {row['source']}  --{row['relation']}-->  {row['target']}")
        if len(facts) > SHOWN_FACTS:
            print(f"  … and {len(facts) - SHOWN_FACTS} more")

    def _client(self, tenant: Tenant) -> httpx.AsyncClient:
        key = self._variable(f"TASKGATE_KEY_{tenant.name.upper()}")
        return httpx.AsyncClient(base_url=self.address, headers={"Authorization": f"Bearer {key}"}, timeout=30)

    def _project(self, tenant: Tenant) -> str:
        return self._variable(f"TASKGATE_PROJECT_{tenant.name.upper()}")

    @property
    def address(self) -> str:
        """Of the gateway."""
        return self._variable("TASKGATE_URL")

    def _variable(self, name: str) -> str:
        if name not in self._variables:
            raise StackError(f"the stack's env file has no {name}; start the whole stack with `make up`")
        return self._variables[name]

    async def _taskgate(self, *arguments: str) -> str:
        return await taskgate.run(*arguments, environment=self._variables)


def _checked(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise StackError(f"{answer.request.method} {answer.request.url} answered {answer.status_code}: {answer.text}")
    body = answer.json()
    if not isinstance(body, dict):
        raise StackError(f"{answer.request.method} {answer.request.url} answered no object: {answer.text}")
    return body


async def _demo(directory: Path) -> int:
    demo = Demo(directory / "env")
    try:
        return await demo.run()
    except httpx.TransportError as error:
        address = demo.address
        raise StackError(f"the gateway does not answer at {address} ({error}); start it with `make up`") from error


def main() -> int:
    """Runs the demo on the stack in `$TASKGATE_LOCAL_DIR`."""
    try:
        return asyncio.run(_demo(Path(os.environ.get("TASKGATE_LOCAL_DIR", ".local"))))
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
