"""The rule that decided about a route, in a word or two; recorded with each start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.routing.query import Scope
from gateway.routing.scope_names import scope_name

#: Starts that no flag and no override decided about.
WORKFLOW = "workflow"
REDRIVE = "redrive"
FALLBACK = "fallback"
#: Behind the rule of a flag that nobody said anything of any more.
LAST_KNOWN = " (last known)"


def rule_of(override: Scope | None, reason: Mapping[str, Any] | None) -> str:
    """What decided, as a start records it: `override tenant:acme`, `target`, `rule vips`, `fallthrough`, `off` …"""
    if override is not None:
        return f"override {scope_name(override)}"
    match (reason or {}).get("kind"):
        case None:
            return "no flag"
        case "TARGET_MATCH":
            return "target"
        case "RULE_MATCH":
            assert reason is not None
            return f"rule {reason.get('ruleId') or reason.get('ruleIndex')}"
        case "PREREQUISITE_FAILED":
            assert reason is not None
            return f"prerequisite {reason.get('prerequisiteKey')}"
        case kind:
            return str(kind).lower()
