"""LaunchDarkly's REST form of a flag, as the SDK's JSON; and a change of that, as LaunchDarkly's semantic patch.

LaunchDarkly gives rules ids of its own: a rule that taskgate wrote is known by its description, which is the id that it
has in a flag of our own (`taskgate:…`). Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.migration.flags.errors import FlagStoreRefuses
from gateway.routing.flag_document import Json
from gateway.routing.flag_edit import is_own

Instructions = list[dict[str, Any]]
#: What a patch changes; everything else has to stay.
_PATCHED = {"version", "fallthrough", "contextTargets", "rules"}
_CLAUSE = ("contextKind", "attribute", "op", "values", "negate")


def flag_of(shown: Mapping[str, Any], environment: str) -> Json:
    """The flag in this environment as the SDK is given it. Raises `FlagStoreRefuses` for one that is not there."""
    there = (shown.get("environments") or {}).get(environment)
    if there is None:
        raise FlagStoreRefuses(f"LaunchDarkly's flag has no environment {environment!r}")
    return {
        "key": shown["key"],
        "version": there["version"],
        "on": there["on"],
        "variations": [variation["value"] for variation in shown["variations"]],
        "offVariation": there.get("offVariation"),
        "fallthrough": there.get("fallthrough") or {},
        "targets": there.get("targets") or [],
        "contextTargets": there.get("contextTargets") or [],
        "rules": [_rule_of(rule) for rule in there.get("rules") or []],
        "prerequisites": there.get("prerequisites") or [],
        "salt": there.get("salt", ""),
    }


def instructions(shown: Mapping[str, Any], environment: str, after: Json) -> Instructions:
    """What makes the flag that is shown this one. Raises `FlagStoreRefuses` for what cannot be patched."""
    before = flag_of(shown, environment)
    if missing := [stage for stage in after["variations"] if stage not in before["variations"]]:
        raise FlagStoreRefuses(f"LaunchDarkly's flag has no variation {missing[0]!r}: add it there first")
    if any(before[name] != after.get(name, before[name]) for name in before.keys() - _PATCHED):
        raise FlagStoreRefuses("of a flag in LaunchDarkly stages and percentages are changed here, nothing else")
    ids = [variation["_id"] for variation in shown["variations"]]
    found: Instructions = []
    served = _served(after["fallthrough"], ids)
    if served != _served(before["fallthrough"], ids):
        found.append({"kind": "updateFallthroughVariationOrRollout", **served})
    found += _targets(before, after, ids)
    found += _rules(shown["environments"][environment].get("rules") or [], before, after, ids)
    return found


def _rule_of(rule: Mapping[str, Any]) -> Json:
    description = str(rule.get("description") or "")
    shown: Json = {
        "id": description if description.startswith("taskgate:") else rule["_id"],
        "clauses": [{name: clause.get(name) for name in _CLAUSE} for clause in rule["clauses"]],
    }
    served = "variation" if rule.get("variation") is not None else "rollout"
    return {**shown, served: rule.get(served)}


def _served(branch: Mapping[str, Any], ids: list[str]) -> dict[str, Any]:
    if branch.get("variation") is not None:
        return {"variationId": ids[branch["variation"]]}
    rollout = branch["rollout"]
    return {
        "rolloutContextKind": rollout.get("contextKind") or "user",
        "rolloutWeights": {ids[item["variation"]]: item["weight"] for item in rollout["variations"]},
    }


def _targets(before: Json, after: Json, ids: list[str]) -> Iterator[dict[str, Any]]:
    was, becomes = _by_context(before), _by_context(after)
    for kind, changes in (
        ("removeTargets", was.items() - becomes.items()),
        ("addTargets", becomes.items() - was.items()),
    ):
        grouped: dict[tuple[str, int], list[str]] = {}
        for (context_kind, value), variation in sorted(changes):
            grouped.setdefault((context_kind, variation), []).append(value)
        for (context_kind, variation), values in grouped.items():
            yield {"kind": kind, "contextKind": context_kind, "variationId": ids[variation], "values": values}


def _by_context(flag: Json) -> dict[tuple[str, str], int]:
    return {
        (target.get("contextKind") or "user", value): target["variation"]
        for target in flag["contextTargets"]
        for value in target["values"]
    }


def _rules(shown: list[Json], before: Json, after: Json, ids: list[str]) -> Iterator[dict[str, Any]]:
    """Rules that stay keep their place; each new one is put before the next that stays."""
    keys = [rule["_id"] for rule in shown]
    wanted = after["rules"]
    stays = [rule for rule in before["rules"] if rule in wanted]
    if stays != [rule for rule in wanted if rule in stays]:  # in another order: own rules are written anew
        stays = [rule for rule in stays if not is_own(rule)]
    key_of = {rule["id"]: key for key, rule in zip(keys, before["rules"], strict=True)}
    for rule in before["rules"]:
        if rule not in stays:
            yield {"kind": "removeRule", "ruleId": key_of[rule["id"]]}
    for place, rule in enumerate(wanted):
        if rule in stays:
            continue
        following = next((one for one in wanted[place:] if one in stays), None)
        before_rule = {} if following is None else {"beforeRuleId": key_of[following["id"]]}
        said = {"description": rule["id"], "clauses": rule["clauses"], **_served(rule, ids)}
        yield {"kind": "addRule", **said, **before_rule}
