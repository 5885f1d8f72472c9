"""What the workflow is told of a run that was begun before."""

from __future__ import annotations

from typing import Any

from gateway.dags.definition import DagDefinition
from gateway.dags.limits import Limits
from gateway.dags.snapshot import make

DEFINITION = DagDefinition.model_validate(
    {"nodes": {"a": {"type": "x"}, "f": {"type": "x", "for_each": "[1]"}, "z": {"type": "x", "needs": ["f"]}}}
)
NEEDS = {"a": [], "f": [], "z": ["f"]}


def row(node: str, **columns: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("position", "verdict", "task_id", "items", "state"))
    return {"node": node, "undoes": False, "again": False, **empty, **columns}


def snapshot(*rows: dict[str, Any]) -> dict[str, Any]:
    return make(DEFINITION, NEEDS, rows, Limits(), deadline=None)


def test_items_of_a_fan_out() -> None:
    told = snapshot(
        row("f", verdict="expanded", items=9),
        row("f", position=0, task_id="0", state="completed"),
        row("f", position=1, task_id="1", state="running"),
        row("f", position=2, task_id="2", state="failed", again=True),
        row("f", position=4, task_id="4", state="failed"),
        row("f", position=7, verdict="bypassed"),
    )
    # The third was refused before, and forgotten; the seventh was skipped before its turn.
    assert told["fans"] == {"f": [9, 5, [1], [2, 3], 1]}
    assert told["states"] == {"f": "o"}


def test_nodes_wanted_again_are_pending() -> None:
    told = snapshot(row("a", task_id="a", state="failed", again=True), row("z", verdict="skipped"))
    assert told["states"] == {"z": "s"}


def test_who_finished_when_and_what_was_undone() -> None:
    told = snapshot(
        row("z", task_id="z", state="completed"),
        row("a", task_id="a", state="completed"),
        row("z", task_id="u", state="completed", undoes=True),
    )
    assert (told["finished"], told["undone"]) == (["z", "a"], ["z"])


def test_a_fan_out_finished_with_the_last_of_its_items() -> None:
    told = snapshot(
        row("f", verdict="expanded", items=3),
        row("f", position=0, task_id="0", state="completed"),
        row("a", task_id="a", state="completed"),
        row("f", position=1, task_id="1", state="completed"),
        row("f", position=2, task_id="2", state="failed"),
    )
    assert told["finished"] == ["a", "f"]
