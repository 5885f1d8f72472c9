"""A gateway and a worker that run DAGs on real servers, and what tests ask of them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from contracts.people import Household
from contracts.world import PATIENCE, World
from gateway.settings import Settings

OVER = ("completed", "failed", "cancelled")


class DagWorld(World):
    """Small limits, so that tests reach them."""

    def settings(self, **more: Any) -> Settings:
        values = {
            "handlers": "contracts.dag_probes",
            "dag_max_items": 600,
            "dag_max_data_bytes": 200_000,
            "dag_history_events": 60,
            **more,
        }
        return super().settings(**values)

    @property
    def driver(self) -> Any:
        """The graph, through the worker's own client."""
        return self._workers[0]._dependencies.contexts.graph.client.driver


class Dags:
    """One tenant's DAGs, as its owner handles them."""

    def __init__(self, world: DagWorld, home: Household) -> None:
        self.world = world
        self.home = home
        self.http: httpx.AsyncClient = world.client(home.owner)

    async def apply(self, name: str, text: str) -> None:
        answer = await self.http.put(
            f"/gateway/v1/dags/{name}",
            content=text,
            headers={"Content-Type": "application/yaml"},
            params={"any_types": 1},
        )
        assert answer.status_code in (200, 201), answer.text

    async def start(self, name: str, **params: Any) -> str:
        body = {"dag": name, "params": params, "project_id": self.home.project_id}
        answer = await self.http.post("/gateway/v1/dag-runs", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])

    async def run(self, text: str, **params: Any) -> dict[str, Any]:
        """Apply a DAG, run it, and return its document when it is over."""
        await self.apply("test", text)
        return await self.ended(await self.start("test", **params))

    async def state(self, run_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"/gateway/v1/dag-runs/{run_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def ended(self, run_id: str) -> dict[str, Any]:
        """The document of a run, once it is over."""
        await self.world.gateway.feed.wait_terminal(run_id, 3 * PATIENCE)  # a run is many tasks, each behind the other
        return await self.state(run_id)

    async def until(self, run_id: str, path: str, status: str) -> dict[str, Any]:
        """A node, once it has this status."""
        watch = self.world.gateway.run_watch.subscribe(run_id).open()
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    node = nodes(await self.state(run_id))[path]
                    if node["status"] == status:
                        return node
                    await watch.changes(0.5)
        finally:
            watch.close()

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        return await self.http.post(f"/gateway/v1/dag-runs/{path}", json=body)


def nodes(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Nodes by path."""
    return {node["path"]: node for node in document["nodes"]}


def statuses(document: dict[str, Any]) -> dict[str, str]:
    return {path: node["status"] for path, node in nodes(document).items()}
