"""What changed between two versions of a DAG."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from gateway.dags.definition import DagDefinition
from gateway.dags.document import pointer


class Change(TypedDict):
    """One place that differs; `before` and `after` are null where there is nothing."""

    op: Literal["add", "remove", "replace"]
    place: str
    before: Any
    after: Any


def difference(before: DagDefinition, after: DagDefinition) -> list[Change]:
    """Every place that differs, defaults left out; an empty list: they are the same."""
    changes: list[Change] = []
    _compare(_plain(before), _plain(after), "", changes)
    return changes


def _plain(definition: DagDefinition) -> Any:
    return definition.model_dump(mode="json", exclude_defaults=True)


def _compare(before: Any, after: Any, place: str, changes: list[Change]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            where = pointer(place, key)
            if key not in after:
                changes.append({"op": "remove", "place": where, "before": before[key], "after": None})
            elif key not in before:
                changes.append({"op": "add", "place": where, "before": None, "after": after[key]})
            else:
                _compare(before[key], after[key], where, changes)
    elif before != after or type(before) is not type(after):
        changes.append({"op": "replace", "place": place, "before": before, "after": after})
