"""DAGs of the fault suite: a fan-out, a chain, a condition, a compensation, and what each run of them must come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAME = "chaos"
#: Failures on the way are repeated until they pass: 0.2 to the power of 30 is never.
DEFINITION = """
params: {numbers: {type: list}, fail: {type: boolean}}
nodes:
  list:
    type: chaos_step
    input: {ms: 50, value: "${ params.numbers }"}
    compensate: {type: chaos_step, input: {ms: 30, value: list}}
  each:
    type: chaos_step
    for_each: nodes.list.result.value
    max_parallel: 3
    input: {ms: "${ 100 + 50 * index }", value: "${ item * 2 + index }", fail: 0.2}
    retry: {attempts: 30, initial_seconds: 0.1, coefficient: 1.2, maximum_seconds: 1}
  sum:
    type: chaos_step
    input: {ms: 300, value: "${ nodes.each.results.map(r, r.value) }"}
    compensate: {type: chaos_step, input: {ms: 30, value: "${ nodes.sum.result.value }"}}
  many: {type: chaos_step, when: nodes.sum.result.value.size() > 3, input: {ms: 200, value: many}}
  few: {type: chaos_step, when: nodes.sum.result.value.size() <= 3, input: {ms: 200, value: few}}
  last:
    type: chaos_step
    needs: [many, few]
    input: {ms: 50, value: "${ nodes.many.status + ' ' + nodes.few.status }", fail: "${ params.fail ? 1.0 : 0.0 }"}
    retry: {attempts: 2, initial_seconds: 0.1}
    on_failure: compensate
outputs:
  all: ${ nodes.sum.result.value }
  branches: ${ nodes.last.result.value }
"""


@dataclass(frozen=True, slots=True)
class Variant:
    """Parameters of a run."""

    numbers: tuple[int, ...]
    fail: bool

    @property
    def params(self) -> dict[str, Any]:
        return {"numbers": list(self.numbers), "fail": self.fail}


VARIANTS = (
    Variant((1, 2, 3, 4, 5), fail=False),
    Variant((7, 8), fail=False),
    Variant((4, 3, 2, 1), fail=True),
)


def expected(variant: Variant) -> dict[str, Any]:
    """What a run of this variant comes to when nothing strikes."""
    values = [item * 2 + index for index, item in enumerate(variant.numbers)]
    is_many = len(values) > 3
    nodes = {
        "list": "completed",
        "each": "completed",
        **{f"each[{index}]": "completed" for index in range(len(values))},
        "sum": "completed",
        "many": "completed" if is_many else "skipped",
        "few": "skipped" if is_many else "completed",
        "last": "failed" if variant.fail else "completed",
    }
    if variant.fail:
        return {
            "status": "failed",
            "error": "Node last failed: chaos_step fails as it was told to",
            "result": None,
            "nodes": {**nodes, "sum~undo": "completed", "list~undo": "completed"},
            "undone": ["sum~undo", "list~undo"],
        }
    branches = f"{nodes['many']} {nodes['few']}"
    return {
        "status": "completed",
        "error": None,
        "result": {"all": values, "branches": branches},
        "nodes": nodes,
        "undone": [],
    }


def come_to(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a run came to, in the same form."""
    undone = sorted((node for node in document["nodes"] if node["undoes"]), key=lambda node: node["started_at"] or "")
    return {
        "status": document["status"],
        "error": document["error"],
        "result": document["result"],
        "nodes": {node["path"]: node["status"] for node in document["nodes"]},
        "undone": [node["path"] for node in undone],
    }
