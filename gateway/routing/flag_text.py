"""A flag in words, for operators: what stands for whom, and why an evaluation came out as it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.routing.flag_document import FULL_WEIGHT, Json, describe_clauses
from gateway.routing.flag_edit import is_own, settings_of
from gateway.routing.query import RouteQuery, Scope


def describe_scope(flag: Mapping[str, Any], scope: Scope) -> str:
    """The stage that stands for the scope itself, or `not set`."""
    if scope.is_default:
        return describe_default(flag)
    stage = settings_of(flag).get(scope)
    return "not set" if stage is None else str(stage)


def describe_flag(flag: Mapping[str, Any]) -> str:
    """`default off, 2 settings`."""
    settings, rules = len(settings_of(flag)), len(foreign_rules(flag))
    parts = [f"{settings} settings" if settings else "", f"{rules} rules by other hands" if rules else ""]
    return ", ".join([f"default {describe_default(flag)}", *filter(None, parts)])


def describe_default(flag: Mapping[str, Any]) -> str:
    """`off`, or `off 75 %, live 25 % by tenant`."""
    return describe_branch(flag, flag.get("fallthrough") or {})


def describe_branch(flag: Mapping[str, Any], branch: Mapping[str, Any]) -> str:
    """The stage, or the percentages, at the end of a rule or of the fallthrough."""
    if branch.get("variation") is not None:
        return str(flag["variations"][branch["variation"]])
    rollout = branch.get("rollout") or {}
    parts = [
        f"{flag['variations'][item['variation']]} {item['weight'] * 100 / FULL_WEIGHT:g} %"
        for item in rollout.get("variations") or []
    ]
    by = rollout.get("contextKind") or "user"
    bucket = rollout.get("bucketBy") or "key"
    return f"{', '.join(parts)} by {by}" + ("" if bucket == "key" else f" {bucket}")


def describe_rule(flag: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
    """`tenant plan gold and task type add_episode: live`."""
    return f"{describe_clauses(rule)}: {describe_branch(flag, rule)}"


def foreign_rules(flag: Mapping[str, Any]) -> list[str]:
    """The rules by other hands, in words."""
    return [describe_rule(flag, rule) for rule in flag.get("rules") or [] if not is_own(rule)]


def describe_reason(flag: Json, reason: Mapping[str, Any], query: RouteQuery) -> str:
    """Why the SDK answered as it did; `reason` is the one of its evaluation detail."""
    match reason.get("kind"):
        case "OFF":
            return 'the flag is switched off ("on": false)'
        case "TARGET_MATCH":
            return f"individual target: {_target(flag, query)}"
        case "RULE_MATCH":
            number = reason["ruleIndex"]
            return f"rule {number}: {describe_rule(flag, flag['rules'][number])}"
        case "FALLTHROUGH":
            return f"default: {describe_default(flag)}" + _bucket_caveat(flag["fallthrough"], query)
        case "PREREQUISITE_FAILED":
            return f"the prerequisite flag {reason.get('prerequisiteKey')!r} does not have the value asked for"
        case _:
            return f"the flag could not be evaluated ({reason.get('errorKind', reason.get('kind'))}): off"


def default_unit(flag: Mapping[str, Any] | None) -> str | None:
    """What a percentage of the default is counted in, `tenant` or `task`; None when the default is one stage."""
    fallthrough = (flag or {}).get("fallthrough") or {}
    rollout = fallthrough.get("rollout") if fallthrough.get("variation") is None else None
    return None if rollout is None else rollout.get("contextKind") or "user"


def _target(flag: Mapping[str, Any], query: RouteQuery) -> str:
    keys = {"tenant": query.tenant_id, "project": query.project_id, "task": query.task_id}
    for target in flag.get("contextTargets") or []:
        kind = target.get("contextKind") or "user"
        if kind in keys and keys[kind] in target["values"]:
            return f"{kind} {keys[kind]}"
    return "of another context kind"


def _bucket_caveat(branch: Mapping[str, Any], query: RouteQuery) -> str:
    kind = (branch.get("rollout") or {}).get("contextKind")
    if kind == "tenant" and not query.tenant_id:
        return "; the task has no tenant, so it stays with the first"
    return ""
