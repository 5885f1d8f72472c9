"""Steps of a run that are carried out again: what happened between two tries of one counts."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

import pytest

from contracts.dag_probes import GATES, RAN
from contracts.dag_world import Dags, nodes, statuses
from contracts.world import PATIENCE
from gateway.dags.answers import Answers
from gateway.dags.confinement import Confinement
from gateway.errors import DatabaseUnavailable


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
    assert statuses(document)["b"] == ("completed" if each else "skipped")
    assert nodes(document)[path]["task_id"] is None
    assert RAN[dags.home.tenant_id] == (["a", "b", "b", "c"] if each else ["a", "c"])
    query = "SELECT count(*) FROM taskgate.dispatch WHERE dag_run_id = $1"
    assert await dags.world.database.fetchval(query, run_id) == (5 if each else 3)


async def test_a_signal_that_came_early_reaches_its_node_in_a_later_try(
    dags: Dags, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one opened the node, and then lost PostgreSQL."""
    gate = f"gate-{secrets.token_hex(3)}"
    GATES[gate] = asyncio.Event()
    plain = Answers.deliver_early
    failed: list[str] = []

    async def deliver_once_it_works(self: Answers, run_id: str, paths: Sequence[str]) -> list[str]:
        if paths and not failed:
            failed.append(run_id)
            raise DatabaseUnavailable
        return await plain(self, run_id, paths)

    await dags.apply(
        "signalled",
        f"""
nodes:
  first: {{type: dag_echo, input: {{mark: {gate}}}}}
  early: {{signal: {{name: early}}, needs: [first]}}
outputs: {{early: "${{ nodes.early.result }}"}}
""",
    )
    run_id = await dags.start("signalled")
    await dags.until(run_id, "first", "running")
    assert (await dags.post(f"{run_id}/signals/early", "soon")).json() == {"nodes": []}
    monkeypatch.setattr(Answers, "deliver_early", deliver_once_it_works)
    GATES.pop(gate).set()
    assert (await dags.ended(run_id))["result"] == {"early": "soon"}
    assert failed == [run_id]
