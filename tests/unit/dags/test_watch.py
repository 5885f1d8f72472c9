"""Who follows a run is told of new nodes, too, whatever else changes in the same moment."""

from __future__ import annotations

from typing import Any

from gateway.dags.watch import RunWatch


class Nodes:
    """Stands for PostgreSQL: which nodes tasks belong to."""

    def __init__(self, **nodes: tuple[str, str]) -> None:
        self._nodes = nodes

    async def fetch(self, query: str, ids: list[str], runs: list[str]) -> list[dict[str, str]]:
        found = [self._nodes[task_id] for task_id in ids if task_id in self._nodes]
        return [{"run_id": run_id, "path": path} for run_id, path in found if run_id in runs]


def watch_of(**nodes: tuple[str, str]) -> RunWatch:
    database: Any = Nodes(**nodes)
    return RunWatch(database)


async def test_a_node_alone_is_named() -> None:
    watch = watch_of(t1=("r", "fetch"), t2=("other", "store"))
    subscription = watch.subscribe("r").open()
    watch.heard(["t1", "t2"])
    assert await subscription.changes(5) == ["fetch"]


async def test_a_run_that_changed_beside_a_node_is_read_as_a_whole() -> None:
    """An approval is answered, and the next node opened: the second is among no paths."""
    watch = watch_of(t1=("r", "enough"))
    subscription = watch.subscribe("r").open()
    watch.heard(["t1", "r"])
    assert await subscription.changes(5) == []


async def test_what_comes_before_anybody_asks_is_not_lost() -> None:
    watch = watch_of(t1=("r", "enough"))
    subscription = watch.subscribe("r").open()
    subscription.deliver([], is_whole=True)
    subscription.deliver(["enough"], is_whole=False)
    assert await subscription.changes(5) == []
    subscription.deliver(["enough"], is_whole=False)
    assert await subscription.changes(5) == ["enough"]
    assert await subscription.changes(0.01) is None
