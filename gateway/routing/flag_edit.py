"""Changes to the migration flag's JSON: a stage for a scope, the default, a percentage. Pure functions.

A tenant's or a project's stage is written as an individual target (`contextTargets`), one for a task type as a
rule. LaunchDarkly looks at targets before rules, so as soon as a combination exists (a tenant *and* a type, say),
which must win over its parts, everything is written as rules, the most specific first. Rules that taskgate wrote
have an id that begins with `taskgate:`; rules and targets by other hands stay untouched, after taskgate's own.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from gateway.routing.errors import FlagChangeRefused
from gateway.routing.flag_document import FULL_WEIGHT, Json
from gateway.routing.query import Scope
from gateway.routing.stages import Stage

_RULE_PREFIX = "taskgate:"
#: Scope field → the context kind and attribute that it is compared with.
_CLAUSES = {"project_id": ("project", "key"), "tenant_id": ("tenant", "key"), "task_type": ("task", "type")}
_FIELDS = {clause: field for field, clause in _CLAUSES.items()}
_TARGET_FIELDS = {"project": "project_id", "tenant": "tenant_id"}

Settings = dict[Scope, Stage]


def new_flag(key: str) -> Json:
    """A migration flag that keeps everybody at `off`."""
    return {
        "key": key,
        "version": 0,
        "on": True,
        "variations": [stage.value for stage in Stage],
        "offVariation": 0,
        "fallthrough": {"variation": 0},
        "targets": [],
        "contextTargets": [],
        "rules": [],
        "prerequisites": [],
        "salt": key,
        "migration": {"checkRatio": 1},
    }


def settings_of(flag: Mapping[str, Any]) -> Settings:
    """The stage of every scope that is set on its own (the default is not among them), as taskgate writes them."""
    found: Settings = {}
    for target in flag.get("contextTargets") or []:
        if field := _TARGET_FIELDS.get(target.get("contextKind") or ""):
            for value in target["values"]:
                found.setdefault(Scope(**{field: value}), _stage(flag, target["variation"]))
    for rule in flag.get("rules") or []:
        if is_own(rule):
            fields = [_FIELDS[clause["contextKind"], clause["attribute"]] for clause in rule["clauses"]]
            for values in itertools.product(*(clause["values"] for clause in rule["clauses"])):
                found.setdefault(Scope(**dict(zip(fields, values, strict=True))), _stage(flag, rule["variation"]))
    return found


def with_stage(flag: Json, scope: Scope, stage: Stage) -> Json:
    """The flag with this stage for the scope; the default scope ends a percentage that was under way."""
    changed = deepcopy(flag)
    if scope.is_default:
        changed["fallthrough"] = {"variation": _index(changed, stage)}
        return changed
    return _with_settings(changed, {**settings_of(flag), scope: stage})


def with_stages(flag: Json, stages: Mapping[Scope, Stage | None]) -> Json:
    """The flag with these stages of scopes other than the default; None: without one of its own."""
    settings: dict[Scope, Stage | None] = {**settings_of(flag), **stages}
    kept = {scope: stage for scope, stage in settings.items() if stage is not None}
    return _with_settings(deepcopy(flag), kept)


def without_stage(flag: Json, scope: Scope) -> Json:
    """The flag without a setting of its own for the scope. Raises `FlagChangeRefused` when there is none."""
    settings = settings_of(flag)
    if scope not in settings:
        raise FlagChangeRefused(f"nothing is set for {scope}")
    del settings[scope]
    return _with_settings(deepcopy(flag), settings)


def with_rollout(flag: Json, stage: Stage, percent: float, *, by: str, seed: int, others: Stage | None = None) -> Json:
    """The flag with this stage for a percentage of those that nothing else is set for, the rest staying where it was.

    `by` is `tenant` or `task`. Raising the percentage only ever adds to those who have the stage, lowering it only
    takes away, as long as `by` stays the same. `seed` decides who is first; a seed that stands already is kept.
    `others`: where the default is one stage for all, the rest goes to this one.
    Raises `FlagChangeRefused` when more than two stages would be involved, or the percentage is none.
    """
    if not 0 <= percent <= 100:
        raise FlagChangeRefused(f"{percent:g} is not a percentage (0 to 100)")
    changed = deepcopy(flag)
    target, current = _index(changed, stage), changed.get("fallthrough") or {}
    rollout = current.get("rollout") if current.get("variation") is None else None
    if rollout is None:
        base = current["variation"] if others is None else _index(changed, others)
        if base == target:
            raise FlagChangeRefused(f"the default is {stage} for all already; name the stage that a part shall go to")
        order = [base, target]
    else:
        order = [item["variation"] for item in rollout["variations"]]
        if len(order) != 2 or target not in order:
            stages = " and ".join(_stage(flag, index) for index in order)
            raise FlagChangeRefused(f"a rollout between {stages} is under way; end it first: flags set --default")
    weight = round(percent * FULL_WEIGHT / 100)
    if weight in (0, FULL_WEIGHT):
        other = order[0] if order[1] == target else order[1]
        changed["fallthrough"] = {"variation": target if weight else other}
        return changed
    # The first variation is also what the SDK gives to a context without the kind it buckets by, whatever the
    # weights are (a task without a tenant): the old stage stands first.
    changed["fallthrough"] = {
        "rollout": {
            "kind": "rollout",
            "contextKind": by,
            "bucketBy": "key",
            "seed": rollout["seed"] if rollout and rollout.get("seed") is not None else seed,
            "variations": [
                {"variation": index, "weight": weight if index == target else FULL_WEIGHT - weight} for index in order
            ],
        }
    }
    return changed


def is_own(rule: Mapping[str, Any]) -> bool:
    """Whether taskgate wrote the rule, and nobody has given it another shape since."""
    return (
        str(rule.get("id") or "").startswith(_RULE_PREFIX)
        and rule.get("variation") is not None
        and bool(rule["clauses"])
        and all(
            clause["op"] == "in"
            and not clause.get("negate")
            and (clause.get("contextKind"), clause["attribute"]) in _FIELDS
            and all(isinstance(value, str) and value for value in clause["values"])
            for clause in rule["clauses"]
        )
    )


def _with_settings(flag: Json, settings: Settings) -> Json:
    """The flag with exactly these settings, and with what other hands wrote after them."""
    combined = any(scope.width > 1 for scope in settings)
    targets: dict[tuple[str, int], Json] = {}
    rules: dict[str, Json] = {}
    for scope, stage in sorted(settings.items(), key=lambda setting: (-setting[0].rank, str(setting[0]))):
        index = _index(flag, stage)
        clauses = [
            _clause(*_CLAUSES[field], value) for field in _CLAUSES if (value := getattr(scope, field)) is not None
        ]
        kind, value = clauses[0]["contextKind"], clauses[0]["values"][0]
        if len(clauses) > 1:
            rule_id = f"{_RULE_PREFIX}{scope}"
            rules[rule_id] = {"id": rule_id, "variation": index, "clauses": clauses}
        elif combined or kind == "task":
            rule_id = f"{_RULE_PREFIX}{kind}:{stage}"
            rule = rules.setdefault(
                rule_id, {"id": rule_id, "variation": index, "clauses": [{**clauses[0], "values": []}]}
            )
            rule["clauses"][0]["values"].append(value)
        else:
            target = targets.setdefault((kind, index), {"contextKind": kind, "variation": index, "values": []})
            target["values"].append(value)
    foreign_targets = [
        item for item in flag.get("contextTargets") or [] if item.get("contextKind") not in _TARGET_FIELDS
    ]
    foreign_rules = [rule for rule in flag.get("rules") or [] if not is_own(rule)]
    flag["contextTargets"] = [*targets.values(), *foreign_targets]
    flag["rules"] = [*rules.values(), *foreign_rules]
    return flag


def _clause(kind: str, attribute: str, value: str) -> Json:
    return {"contextKind": kind, "attribute": attribute, "op": "in", "values": [value], "negate": False}


def _stage(flag: Mapping[str, Any], index: int) -> Stage:
    return Stage(flag["variations"][index])


def _index(flag: Json, stage: Stage) -> int:
    """The variation of the stage; a flag written by other hands may lack some."""
    variations: list[str] = flag["variations"]
    if stage.value not in variations:
        variations.append(stage.value)
    return variations.index(stage.value)
