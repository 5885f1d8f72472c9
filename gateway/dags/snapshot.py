"""The state of a run for its workflow: the nodes and their states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.dags.definition import DagDefinition, OnFailure
from gateway.dags.limits import Limits

#: State of a task, as the workflow names it.
STATES = {"completed": "c", "failed": "f", "stopped": "f"}
_VERDICTS = {"skipped": "s", "bypassed": "b", "refused": "f"}


def make(
    definition: DagDefinition,
    needs: Mapping[str, list[str]],
    rows: Iterable[Mapping[str, Any]],
    limits: Limits,
    *,
    deadline: str | None,
) -> dict[str, Any]:
    """It is small, because it is stored in the workflow's history."""
    index = {name: i for i, name in enumerate(definition.nodes)}
    nodes = [
        [
            name,
            [index[needed] for needed in needs[name]],
            node.for_each is not None,
            node.max_parallel or limits.width,
            node.on_failure.value,
            node.compensate is not None,
            node.if_skipped,
        ]
        for name, node in definition.nodes.items()
    ]
    states: dict[str, str] = {}
    fans: dict[str, list[Any]] = {}
    finished: list[str] = []
    undone: list[str] = []
    undoing: list[list[Any]] = []
    known: dict[str, set[int]] = {}
    for row in rows:
        name, position = row["node"], row["position"]
        if row["undoes"]:
            undone.append(name)
            if row["task_id"] is not None and row["state"] not in STATES:
                undoing.append([name, position])
        elif position is not None:
            fan = fans.setdefault(name, [0, 0, [], [], 0])
            known.setdefault(name, set()).add(position)
            _add_item(fan, position, row)
        elif row["verdict"] == "expanded":
            states[name] = "o"
            fans.setdefault(name, [0, 0, [], [], 0])[0] = row["items"]
        elif row["again"]:
            continue
        else:
            states[name] = _VERDICTS.get(row["verdict"] or "") or STATES.get(row["state"], "o")
        if row["state"] == "completed" and not row["undoes"] and not row["again"]:
            finished.append(name)
    for name, fan in fans.items():
        # Items that could not be opened in an earlier start of the run are decided anew.
        fan[3] += [position for position in range(fan[1]) if position not in known.get(name, ())]
    return {
        "nodes": nodes,
        "states": states,
        "fans": fans,
        # A fan-out stands where the last of its items was completed.
        "finished": list(dict.fromkeys(reversed(finished)))[::-1],
        "undone": sorted(set(undone)),
        "undoing": undoing,
        "compensation_seconds": definition.compensation_seconds,
        "max_parallel": definition.max_parallel or limits.items,
        "deadline": deadline,
        "most_events": limits.history_events,
    }


def _add_item(fan: list[Any], position: int, row: Mapping[str, Any]) -> None:
    if row["task_id"] is None and row["verdict"] == "bypassed":
        return  # skipped by somebody before its turn came
    fan[1] = max(fan[1], position + 1)
    state = _VERDICTS.get(row["verdict"] or "") or STATES.get(row["state"], "o")
    if row["again"]:
        fan[3].append(position)
    elif state == "o":
        fan[2].append(position)
    elif state == "f":
        fan[4] += 1


def nodes_that_may_fail(definition: DagDefinition) -> list[str]:
    """The nodes whose failure does not end the run (`on_failure: continue`)."""
    return [name for name, node in definition.nodes.items() if node.on_failure is OnFailure.CONTINUE]
