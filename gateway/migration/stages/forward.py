"""Where a change of the flag leads: what guardrails are asked about, and who may newly be at a stage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from gateway.routing.flag_document import OFF_VARIATION, Json, default_weights, reached_stages
from gateway.routing.flag_edit import settings_of, with_stages
from gateway.routing.flag_text import default_unit
from gateway.routing.query import Scope
from gateway.routing.stages import TEMPORAL, Stage, backend_of

_ORDER: Final = tuple(Stage)
#: Parts of a flag that are compared by what they mean.
_OF_OUR_OWN: Final = frozenset({"version", "fallthrough", "variations"})


def nowhere(before: Json, after: Json) -> None:
    """A rollback, which guardrails do not stop."""


def after_unset(before: Json, after: Json, scope: Scope) -> Stage | None:
    """The stage on Temporal to which the scope moves forward once its own is taken away; None: to none."""
    own, stage = settings_of(before)[scope], _furthest(_left_to(after, scope))
    return stage if stage is not None and _ORDER.index(stage) > _ORDER.index(own) else None


def after_rollout(before: Json, after: Json) -> Stage | None:
    """The stage on Temporal that more than before are given by the default; None: there is none."""
    return _furthest(_given_more(before, after))


def after_import(before: Json, after: Json) -> dict[Scope, Stage]:
    """The scopes that another flag moves forward, and the stage on Temporal to which.

    Rules by other hands are not compared.
    """
    before, after = _in_force(before), _in_force(after)
    was, becomes = settings_of(before), settings_of(after)
    found = {scope: after_unset(before, after, scope) for scope in was.keys() - becomes.keys()}
    for scope, stage in becomes.items():
        stood = {was[scope]} if scope in was else _left_to(before, scope)
        is_further = any(_ORDER.index(one) < _ORDER.index(stage) for one in stood)
        found[scope] = _furthest([stage]) if is_further else None
    found[Scope()] = after_rollout(before, after)
    return {scope: stage for scope, stage in found.items() if stage is not None}


def _in_force(flag: Json) -> Json:
    """The same flag, or what one says that is switched off: the off variation for all."""
    if flag.get("on", False):
        return flag
    off = flag.get(OFF_VARIATION)
    variations = list(flag["variations"])
    if off is None:
        off = len(variations)
        variations.append(Stage.OFF.value)
    nothing: Json = {"rules": [], "targets": [], "contextTargets": []}
    return {**flag, **nothing, "on": True, "variations": variations, "fallthrough": {"variation": off}}


def may_reach_more(before: Json, after: Json, flag_key: str, stage: Stage) -> bool:
    """Whether somebody may be at this stage by the document `after` who is not by the one before."""
    old, new = before["flags"][flag_key], after["flags"][flag_key]
    was, becomes = settings_of(old), settings_of(new)
    named = any(one is stage and was.get(scope) is not stage for scope, one in becomes.items())
    follows_others = any(scope not in becomes and one is not stage for scope, one in was.items())
    return named or follows_others or stage in _given_more(old, new) or _beside(before, old) != _beside(after, new)


def _given_more(before: Json, after: Json) -> list[Stage]:
    """The stages of which the default gives a larger part, or a part to others."""
    was = default_weights(before) if _drawn(before) in (None, _drawn(after)) else {}
    return [stage for stage, weight in default_weights(after).items() if weight > was.get(stage, 0)]


def _drawn(flag: Json) -> tuple[Any, ...] | None:
    """How it is drawn who belongs to a percentage of the default; None: it is one stage for all."""
    if (unit := default_unit(flag)) is None:
        return None
    rollout = flag["fallthrough"]["rollout"]
    order = [flag["variations"][one["variation"]] for one in rollout["variations"]]
    return unit, rollout.get("bucketBy"), rollout.get("seed"), order


def _beside(document: Json, flag: Json) -> list[Any]:
    """What decides beside the default and the settings that taskgate writes: rules and targets by other hands, and what
    they hang on."""
    others = with_stages(flag, dict.fromkeys(settings_of(flag)))
    said = [{name: part for name, part in others.items() if name not in _OF_OUR_OWN}]
    if others["rules"] or others["contextTargets"] or others.get("targets"):
        said.append(others["variations"])
    rest = {key: one for key, one in document["flags"].items() if one is not flag}
    return [*said, rest, document.get("segments") or {}]


def _left_to(flag: Json, scope: Scope) -> set[Stage]:
    """The stages at which tasks of a scope may be that has none of its own."""
    settings = settings_of(flag)
    less = {one: stage for one, stage in settings.items() if one.rank < scope.rank and one.overlaps(scope)}
    above = max((one.rank for one in less if one.includes(scope)), default=None)
    if above is not None:
        return {stage for one, stage in less.items() if one.rank >= above}
    others = with_stages(flag, dict.fromkeys(settings))
    return {*less.values(), *reached_stages(others)}


def _furthest(stages: Iterable[Stage]) -> Stage | None:
    """Of those on Temporal."""
    return max((one for one in stages if backend_of(one) == TEMPORAL), key=_ORDER.index, default=None)
