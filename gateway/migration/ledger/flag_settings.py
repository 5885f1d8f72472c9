"""What a flag says, scope by scope, so that two versions of it can be compared. Pure functions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ldclient.versioned_data_kind import FEATURES

from gateway.routing.flag_document import Json, describe_clauses
from gateway.routing.flag_edit import is_own, settings_of
from gateway.routing.flag_parts import reached
from gateway.routing.flag_text import describe_branch
from gateway.routing.held_store import Snapshot
from gateway.routing.scope_names import scope_name
from gateway.routing.stages import Stage

#: The scope of a flag that is switched off, or that does not exist.
ALL: Final = "all"
DEFAULT: Final = "default"
#: Whatever else decides: prerequisites, segments, the salt, the order of rules by other hands.
CONDITIONS: Final = "conditions"


@dataclass(frozen=True, slots=True)
class Setting:
    """What stands for a scope: in words, and as a stage if it is a single one."""

    text: str
    stage: Stage | None = None


def settings_in(data: Snapshot, flag_key: str) -> dict[str, Setting]:
    """Each scope that the flag says something about."""
    found = data.get(FEATURES, {}).get(flag_key)
    if found is None:
        return {ALL: Setting("off", Stage.OFF)}
    flag: Json = found.to_json_dict()
    return {**flag_settings(flag), CONDITIONS: Setting(_fingerprint(data, flag))}


def flag_settings(flag: Json) -> dict[str, Setting]:
    """As `settings_in`, of a flag that stands alone: without what hangs on segments and other flags."""
    settings = dict(_scopes(flag))
    if not flag.get("on"):
        settings[ALL] = _off(flag)
    return settings


def _off(flag: Json) -> Setting:
    return _at(flag, flag["offVariation"]) if flag.get("offVariation") is not None else Setting("off", Stage.OFF)


def rule_scope(number: int, rule: Mapping[str, Any]) -> str:
    """The scope of a rule by other hands."""
    return f"rule:{rule.get('id') or number}"


def _scopes(flag: Json) -> Iterator[tuple[str, Setting]]:
    own = settings_of(flag)
    for target in [*(flag.get("targets") or []), *(flag.get("contextTargets") or [])]:
        for value in target["values"]:
            yield f"{target.get('contextKind') or 'user'}:{value}", _at(flag, target["variation"])
    for scope, stage in own.items():
        yield scope_name(scope), Setting(str(stage), stage)
    for number, rule in enumerate(flag.get("rules") or []):
        if not is_own(rule):
            branch = _branch(flag, rule)
            yield rule_scope(number, rule), Setting(f"{describe_clauses(rule)}: {branch.text}", branch.stage)
    yield DEFAULT, _branch(flag, flag.get("fallthrough") or {})


def _at(flag: Json, variation: int) -> Setting:
    value = str(flag["variations"][variation])
    return Setting(value, Stage(value) if value in tuple(Stage) else None)


def _branch(flag: Json, branch: Mapping[str, Any]) -> Setting:
    """A stage, or percentages with the seed that says who is first."""
    if branch.get("variation") is not None:
        return _at(flag, branch["variation"])
    seed = (branch.get("rollout") or {}).get("seed")
    return Setting(describe_branch(flag, branch) + ("" if seed is None else f", seed {seed}"))


def _fingerprint(data: Snapshot, flag: Json) -> str:
    """Of the flags and segments that this one hangs on, its salt, and the order of rules by other hands."""
    parts = {f"{kind}/{key}": part for (kind, key), part in reached(data, flag).items()}
    rules = [rule_scope(number, rule) for number, rule in enumerate(flag.get("rules") or []) if not is_own(rule)]
    known = {"reached": parts, "prerequisites": flag.get("prerequisites"), "salt": flag.get("salt"), "rules": rules}
    text = json.dumps(_without_versions(known), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _without_versions(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_versions(item) for key, item in value.items() if key != "version"}
    return [_without_versions(item) for item in value] if isinstance(value, list) else value
