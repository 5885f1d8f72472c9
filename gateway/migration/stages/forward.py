"""Where a change of the flag leads: the stage that guardrails are asked about. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.routing.flag_document import Json, default_weights, reached_stages
from gateway.routing.flag_edit import settings_of, with_stages
from gateway.routing.flag_text import default_unit
from gateway.routing.query import Scope
from gateway.routing.stages import TEMPORAL, Stage, backend_of

_ORDER: Final = tuple(Stage)


def after_unset(before: Json, after: Json, scope: Scope) -> Stage | None:
    """The stage on Temporal to which the scope moves forward once its own is taken away; None: to none."""
    own, stage = settings_of(before)[scope], _furthest(_left_to(after, scope))
    return stage if stage is not None and _ORDER.index(stage) > _ORDER.index(own) else None


def after_rollout(before: Json, after: Json) -> Stage | None:
    """The stage on Temporal that more than before are given by the default; None: there is none."""
    was = default_weights(before) if default_unit(before) in (None, default_unit(after)) else {}
    return _furthest(stage for stage, weight in default_weights(after).items() if weight > was.get(stage, 0))


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
