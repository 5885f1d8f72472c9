"""What expressions read of the ends of nodes."""

from __future__ import annotations

from typing import Any

from gateway.dags.definition import DagDefinition
from gateway.dags.limits import Limits
from gateway.dags.results import Values
from gateway.dags.scope import Scope

DEFINITION = DagDefinition.model_validate({"nodes": {"a": {"type": "x"}, "f": {"type": "x", "for_each": "[1, 2]"}}})


class Rows:
    """Answers with these ends."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self._rows = rows

    async def fetch(self, *args: Any) -> list[dict[str, Any]]:
        return list(self._rows)


def row(node: str, position: int | None = None, **columns: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("verdict", "reason", "task_id", "state", "error_message", "bytes", "result"))
    return {**empty, "node": node, "position": position, **columns}


async def value(source: str, *rows: dict[str, Any]) -> Any:
    limits = Limits()
    values = Values(Scope.of(DEFINITION, limits.expression_length), "run", "now", {}, limits)
    await values.load(Rows(*rows), [source])  # type: ignore[arg-type]
    return values.value(source)


async def test_a_node_that_was_refused_after_it_was_stopped_has_the_error_of_its_refusal() -> None:
    refused = row("a", verdict="refused", reason="why", state="stopped", error_message="The DAG ended before this node")
    assert await value("nodes.a.error", refused) == "why"


async def test_an_item_that_was_skipped_before_its_turn_or_after_its_failure_counts_as_done() -> None:
    fan, done = row("f", verdict="expanded"), row("f", 0, state="completed", result="1")
    for skipped in (row("f", 1, verdict="bypassed"), row("f", 1, verdict="bypassed", state="failed")):
        assert await value("nodes.f.status", fan, done, skipped) == "completed"
        assert await value("nodes.f.failed", fan, done, skipped) == 0
