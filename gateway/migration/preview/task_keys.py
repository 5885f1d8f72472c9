"""Whether a flag's answer depends on which task it is, not only on whose and of which type. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.routing.flag_document import Json

Reason = Mapping[str, Any]


class TaskKeys:
    """Of one flag in its document. Where a task's own key decides in a percentage only, the reason of an answer says
    whether it did; otherwise all answers may depend on it.
    """

    def __init__(self, document: Json, flag_key: str) -> None:
        self._flag = document["flags"][flag_key]
        others = [part for key, part in document["flags"].items() if key != flag_key]
        others += (document.get("segments") or {}).values()
        self._always = any(_names_tasks(self._flag)) or any(
            any(_names_tasks(part)) or any(_by_task(one) for one in _rollouts(part)) for part in others
        )

    def decide(self, reason: Reason | None) -> bool:
        """Whether another task of the same context might get another answer than the one with this reason."""
        if self._always:
            return True
        match (reason or {}).get("kind"):
            case "RULE_MATCH":
                assert reason is not None
                return _by_task(self._flag["rules"][reason["ruleIndex"]])
            case "FALLTHROUGH":
                return _by_task(self._flag.get("fallthrough") or {})
            case _:
                return False


def _names_tasks(part: Json) -> Iterator[bool]:
    """Its targets, and its clauses, that look at the key of a task."""
    for name in ("contextTargets", "includedContexts", "excludedContexts"):
        yield from (bool(one["values"]) for one in part.get(name) or [] if one.get("contextKind") == "task")
    for rule in part.get("rules") or []:
        yield from (one.get("contextKind") == "task" and one["attribute"] == "key" for one in rule["clauses"])


def _rollouts(part: Json) -> Iterator[Json]:
    yield from part.get("rules") or []
    yield part.get("fallthrough") or {}


def _by_task(branch: Mapping[str, Any]) -> bool:
    """Of a rule, also of a segment's, which has its weight itself."""
    if branch.get("variation") is None and (rollout := branch.get("rollout")):
        return rollout.get("contextKind") == "task" and rollout.get("bucketBy") in (None, "key")
    return branch.get("weight") is not None and branch.get("rolloutContextKind") == "task"
