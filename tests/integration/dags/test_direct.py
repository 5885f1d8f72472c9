"""A chain goes from node to node without a dispatcher's look."""

from __future__ import annotations

from contracts.dag_world import Dags
from gateway.tasks.lifecycle.transitions import DUE_CHANNEL

CHAIN = """
nodes:
  a: {type: dag_echo, input: {value: 1}}
  b: {type: dag_echo, input: {value: "${ nodes.a.result.value + 1 }"}}
  c: {type: dag_echo, input: {value: "${ nodes.b.result.value + 1 }"}}
outputs: {last: "${ nodes.c.result.value }"}
"""
FAN = """
nodes:
  each: {type: dag_echo, for_each: "[1, 2, 3, 4, 5, 6]", input: {value: "${ item }"}}
"""


async def looks(dags: Dags, text: str) -> int:
    """How often dispatchers are told to look, from a run's start to its end."""
    heard = 0

    def hear(*_: object) -> None:
        nonlocal heard
        heard += 1

    connection = await dags.world.database.connect()
    try:
        await connection.add_listener(DUE_CHANNEL, hear)
        document = await dags.run(text)
        assert document["status"] == "completed", document["error"]
        await connection.fetchval("SELECT 1")  # what came before its answer is heard
        return heard
    finally:
        await connection.close()


async def test_the_worker_starts_what_it_opens(dags: Dags) -> None:
    assert await looks(dags, CHAIN) == 0


async def test_a_fan_out_is_for_dispatchers(dags: Dags) -> None:
    assert await looks(dags, FAN) > 0
