"""Opening nodes: what was decided before stays, whatever this try of the step comes to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from gateway.dags.batch import RunFacts
from gateway.dags.definition import DagDefinition
from gateway.dags.limits import Limits
from gateway.dags.node_start import Opener, Request
from gateway.dags.results import Values
from gateway.dags.scope import Scope
from gateway.dags.store import DagVersion

DEFINITION = DagDefinition.model_validate(
    {
        "nodes": {
            "a": {"type": "x", "compensate": {"type": "y"}},
            "f": {"type": "x", "for_each": "[1, 2, 3]", "compensate": {"type": "y"}},
            "w": {"type": "x", "when": "true"},
            "h": {"type": "x", "for_each": "[1]", "input": {"n": "${ item }"}},
            "s": {"signal": {"name": "go"}},
        }
    }
)
EMPTY = {"verdict": None, "again": False, "task_id": None, "items": None, "state": None}


def opener_of(known: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> Opener:
    """Of a run of which these nodes are known."""
    dag = DagVersion("acme", "test", 1, DEFINITION, {"subs": {}, "needs": {}}, "digest")
    run = RunFacts("run", 1, "acme", None, None, "tenant:acme", 3, 1, {}, datetime.now(UTC), dag)
    values = Values(Scope.of(DEFINITION, Limits().expression_length), "run", "now", {}, Limits())
    return Opener(run, values, {path: {**EMPTY, **row} for path, row in known.items()}, Limits(), {})


def test_what_cannot_be_evaluated_is_refused_but_for_what_was_decided_before() -> None:
    skipped = {"verdict": "bypassed"}
    opener = opener_of({"f[0]": skipped, "f[2]": {"task_id": "2", "state": "running"}, "a": skipped})
    assert opener.refuse(["f", "items", 0, 4], "why") == ["i", [1, 3], [0]]
    assert opener.refuse(["a", "open"], "why") == ["b"]
    assert [row[0] for row in opener.batch.nodes] == ["f[1]", "f[3]"]
    assert opener.refuse(["s", "skip"], "why") == ["s"]


def test_an_undoing_that_could_not_be_made_is_not_waited_for() -> None:
    for known, begun in (
        ({"verdict": "refused"}, False),
        ({"task_id": "u", "state": "completed"}, False),
        ({"task_id": "u", "state": "waiting"}, True),
    ):
        opener = opener_of({"a~undo": known})
        assert opener.undo("a", None, None) is begun
        opener.refuse_undoing("a", [None], "why")
        assert opener.batch.nodes == []
    assert opener_of().undo("a", None, None) is True


def test_a_signal_that_came_early_is_given_by_any_try_of_the_step() -> None:
    for state, signals in (("waiting", ["s"]), ("completed", []), ("stopped", [])):
        opener = opener_of({"s": {"task_id": "s", "state": state}})
        opener.open("s")
        assert opener.batch.signals == signals


def test_what_has_expressions() -> None:
    opener = opener_of()
    some: list[Request] = [["w", "open"], ["f", "open"], ["h", "items", 0, 1], ["h", "again", [0]]]
    none: list[Request] = [["a", "open"], ["w", "skip"], ["f", "items", 0, 3]]
    assert [opener.evaluates(request) for request in some + none] == [True] * 4 + [False] * 3
