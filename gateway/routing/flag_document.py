"""LaunchDarkly's flag data as JSON: reading it, and refusing what would send tasks astray.

The SDK itself is lenient: an index out of range, an unknown stage or percentages that do not add up make it fall
back to the default or to the last variation, silently, for everyone. Such data is refused here before it can come
into force, so that the last good data stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ldclient.versioned_data_kind import FEATURES, SEGMENTS

from gateway.routing.errors import FlagFileInvalid
from gateway.routing.stages import Stage

Json = dict[str, Any]

#: The weights of a percentage add up to this (thousandths of a percent).
FULL_WEIGHT = 100_000
OFF_VARIATION = "offVariation"
_STAGES = [stage.value for stage in Stage]
#: The kinds of context that taskgate sends with an evaluation.
CONTEXT_KINDS = ("tenant", "project", "task")


@dataclass(frozen=True, slots=True)
class FlagData:
    """Everything that a flag file holds, in the form that the SDK's data sources hand on."""

    features: dict[str, Json]
    segments: dict[str, Json]


def parse_document(text: str, flag_key: str) -> FlagData:
    """Read the text of a flag file. Raises `FlagFileInvalid` with one line that says what is wrong and where."""
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise FlagFileInvalid("it is nested too deeply") from None
    except ValueError as error:
        raise FlagFileInvalid(f"it is not JSON: {error}") from None
    if "\\u" in text and not _is_storable(document):
        raise FlagFileInvalid("it has NUL characters or lone surrogates, which cannot be stored")
    if not isinstance(document, dict):
        raise FlagFileInvalid("it must be a JSON object with a member 'flags'")
    features = {key: _versioned(key, flag) for key, flag in _members(document, "flags")}
    for key, value in _members(document, "flagValues"):
        if key in features:
            raise FlagFileInvalid(f"flag {key!r} is given twice")
        features[key] = {"key": key, "version": 1, "on": True, "fallthrough": {"variation": 0}, "variations": [value]}
    segments = {key: _versioned(key, segment) for key, segment in _members(document, "segments")}
    if flag_key not in features:
        raise FlagFileInvalid(f"it has no flag {flag_key!r}")
    for kind, items in ((FEATURES, features), (SEGMENTS, segments)):
        for key, item in items.items():
            try:
                kind.decode(item)
            except (ValueError, TypeError, AttributeError, LookupError) as error:
                raise FlagFileInvalid(f"{key!r}: {error}") from None
    flag = features[flag_key]
    if type(flag["version"]) is not int:
        raise FlagFileInvalid("the flag's version is not a whole number")
    try:
        check_flag(flag)
        for look in (oddities, reached_stages):  # what the gateway does with every flag
            look(flag)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise FlagFileInvalid(f"the flag is malformed: {type(error).__name__} {error}") from None
    return FlagData(features, segments)


def numbered(items: dict[str, Json], version: int) -> dict[str, Json]:
    """The same with another version. The SDK tells its listeners of a flag only when its version grew; who edits by
    hand does not think of it."""
    return {key: {**item, "version": version} for key, item in items.items()}


def content_version(version: object, flag: Mapping[str, Any]) -> str:
    """The version of a flag in a file, where versions may repeat: with a hash of the flag."""
    content = {name: value for name, value in flag.items() if name != "version"}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    return f"{version}:{digest}"


def check_flag(flag: Mapping[str, Any]) -> None:
    """Raises `FlagFileInvalid` unless each way through the flag ends at a stage."""
    stages = flag.get("variations") or []
    if not stages:
        raise FlagFileInvalid("the flag has no variations")
    for stage in stages:
        if stage not in _STAGES:
            raise FlagFileInvalid(f"variation {stage!r} is not a stage; the stages are {', '.join(Stage)}")
    for where, branch in _branches(flag):
        if any(not isinstance(value, str) or not value for value in branch.get("values") or []):
            raise FlagFileInvalid(f"{where}: the values of a target are texts")
        rollout = branch.get("rollout")
        if branch.get("variation") is None and rollout:
            weights = rollout.get("variations") or []
            total = sum(item["weight"] for item in weights)
            if total != FULL_WEIGHT or any(item["weight"] < 0 for item in weights):
                raise FlagFileInvalid(f"{where}: the weights add up to {total}, not to {FULL_WEIGHT} (= 100 %)")
            used = [item["variation"] for item in weights]
        else:
            used = [branch.get("variation")]
        for index in used:
            if index is None:
                raise FlagFileInvalid(f"{where} names neither a variation nor a rollout")
            if not 0 <= index < len(stages):
                raise FlagFileInvalid(f"{where} names variation {index}, but there are only {len(stages)}")


def oddities(flag: Mapping[str, Any]) -> list[str]:
    """Valid settings that are probably mistakes, one sentence each."""
    found = []
    if not flag.get("on"):
        found.append('the flag is switched off ("on": false): its targets, rules and percentages are not looked at')
    sent = ", ".join(CONTEXT_KINDS)
    for number, rule in enumerate(flag.get("rules") or []):
        for clause in rule["clauses"]:
            kind = clause.get("contextKind") or "user"
            if clause["op"] != "segmentMatch" and clause["attribute"] != "kind" and kind not in CONTEXT_KINDS:
                found.append(f"rule {number} looks at the context kind {kind!r}, but only {sent} are sent")
    targets = [*(flag.get("targets") or []), *(flag.get("contextTargets") or [])]
    for kind in sorted({target.get("contextKind") or "user" for target in targets if target["values"]}):
        if kind not in CONTEXT_KINDS:
            found.append(f"there are targets of the context kind {kind!r}, but only {sent} are sent")
    return found


def reached_stages(flag: Mapping[str, Any]) -> dict[Stage, list[str]]:
    """Each stage that the flag can answer, and for whom (`tenant acme`, `task type backup`, `default` …)."""
    reached: dict[Stage, list[str]] = {}
    for where, branch in _branches(flag):
        if (where == OFF_VARIATION) == bool(flag.get("on")):
            continue
        if branch.get("variation") is None:
            used = [item["variation"] for item in branch["rollout"]["variations"] if item["weight"]]
        else:
            used = [branch["variation"]]
        for index in used:
            reached.setdefault(Stage(flag["variations"][index]), []).extend(_whom(branch))
    return reached


def default_weights(flag: Mapping[str, Any]) -> dict[Stage, int]:
    """What the default gives to whom nothing else is set for: each stage's part of `FULL_WEIGHT`."""
    branch = flag.get("fallthrough") or {}
    if branch.get("variation") is not None:
        return {Stage(flag["variations"][branch["variation"]]): FULL_WEIGHT}
    found: dict[Stage, int] = {}
    for item in branch["rollout"]["variations"]:
        stage = Stage(flag["variations"][item["variation"]])
        found[stage] = found.get(stage, 0) + item["weight"]
    return found


def describe_clauses(rule: Mapping[str, Any]) -> str:
    """`tenant acme, globex and task type backup`: whom a rule is about."""
    parts = []
    for clause in rule["clauses"]:
        subject = clause.get("contextKind") or "user"
        if clause["op"] == "segmentMatch":
            subject = "segment"
        elif clause["attribute"] != "key":
            subject += f" {clause['attribute']}"
        relation = "" if clause["op"] in ("in", "segmentMatch") else f" {clause['op']}"
        values = ", ".join(map(str, clause["values"]))
        parts.append(f"{subject}{' not' if clause.get('negate') else ''}{relation} {values}")
    return " and ".join(parts) or "everything"


def _whom(branch: Mapping[str, Any]) -> list[str]:
    if "clauses" in branch:
        return [describe_clauses(branch)]
    if "values" in branch:
        return [f"{branch.get('contextKind') or 'user'} {value}" for value in branch["values"]]
    return ["default"]


def _branches(flag: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every place where the flag chooses a variation."""
    if flag.get("offVariation") is not None:
        yield OFF_VARIATION, {"variation": flag["offVariation"]}
    for name in ("targets", "contextTargets"):
        for number, target in enumerate(flag.get(name) or []):
            yield f"{name}[{number}]", target
    for number, rule in enumerate(flag.get("rules") or []):
        yield f"rule {number}", rule
    yield "fallthrough", flag.get("fallthrough") or {}


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _is_storable(document: Any) -> bool:
    text = json.dumps(document, ensure_ascii=False)
    return "\\u0000" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _members(document: Json, name: str) -> Iterator[tuple[str, Any]]:
    members = document.get(name) or {}
    if not isinstance(members, dict):
        raise FlagFileInvalid(f"{name!r} must be an object")
    yield from members.items()


def _versioned(key: str, item: Any) -> Json:
    """As the SDK's file source does: a version is optional; the member's name must be the item's key."""
    if not isinstance(item, dict):
        raise FlagFileInvalid(f"{key!r} must be an object")
    if item.get("key", key) != key:
        raise FlagFileInvalid(f"the member {key!r} holds an item with the key {item['key']!r}")
    return {"version": 1, **item, "key": key}
