"""Steps of a run that are carried out again: what happened between two tries of one counts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts.dag_probes import RAN
from contracts.dag_world import Dags, nodes, statuses
from contracts.world import PATIENCE
from gateway.dags.confinement import Confinement


@pytest.mark.parametrize("path", ["b", "b[1]"])
async def test_a_node_that_is_skipped_while_it_is_being_opened(
    dags: Dags, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """After the step has read what was decided, and before it writes."""
    paused, skipped = asyncio.Event(), asyncio.Event()
    plain = Confinement.open

    async def open_later(self: Confinement, opener: Any, requests: Any, items: Any) -> Any:
        is_first = any(name == "b" and kind == ("items" if "[" in path else "open") for name, kind, *_ in requests)
        if is_first and not paused.is_set():
            paused.set()
            await skipped.wait()
        return await plain(self, opener, requests, items)

    monkeypatch.setattr(Confinement, "open", open_later)
    each = 'for_each: "[1, 2, 3]", ' if "[" in path else ""
    await dags.apply(
        "raced",
        f"""
nodes:
  a: {{type: dag_echo, input: {{mark: a, value: b}}}}
  b: {{type: dag_echo, {each}input: {{mark: "${{ nodes.a.result.value }}"}}}}
  c: {{type: dag_echo, needs: [b], input: {{mark: c}}}}
""",
    )
    run_id = await dags.start("raced")
    async with asyncio.timeout(PATIENCE):
        await paused.wait()
    answer = await dags.post(f"{run_id}/nodes/{path}/skip", {"reason": "not today"})
    assert answer.status_code == 200, answer.text
    skipped.set()
    document = await dags.ended(run_id)
    assert (document["status"], statuses(document)[path]) == ("completed", "skipped")
    assert nodes(document)[path]["task_id"] is None
    assert RAN[dags.home.tenant_id] == (["a", "b", "b", "c"] if each else ["a", "c"])
    query = "SELECT count(*) FROM taskgate.dispatch WHERE dag_run_id = $1"
    assert await dags.world.database.fetchval(query, run_id) == (5 if each else 3)
