"""What a change of the flag or of an override means for the ledger: an entry for each scope whose setting changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.migration.ledger import OVERRIDE, Flip
from gateway.migration.scopes import scope_name
from gateway.routing.flag_edit import settings_of
from gateway.routing.flag_file import FlagChange
from gateway.routing.flag_text import describe_scope
from gateway.routing.query import Scope
from gateway.routing.stages import Stage

#: Of a change that is about no scope of its own: rules by other hands, segments, the switch of the flag.
_EVERYTHING = "all"


def flag_flips(source: str, before: Mapping[str, Any], after: Mapping[str, Any], change: FlagChange) -> list[Flip]:
    """One for each scope that is set otherwise; one for everything when no scope is."""
    scopes = [Scope(), *sorted({*settings_of(before), *settings_of(after)}, key=str)]
    texts = {scope: (describe_scope(before, scope), describe_scope(after, scope)) for scope in scopes}
    changed = {scope_name(scope): pair for scope, pair in texts.items() if pair[0] != pair[1]}
    who, why, version = change.who, change.why, str(change.version)
    return [
        Flip(source, scope, _stage(was), _stage(becomes), who, why, version, _said(was, becomes))
        for scope, (was, becomes) in (changed or {_EVERYTHING: (change.before, change.after)}).items()
    ]


def override_flip(scope: Scope, before: Stage | None, after: Stage | None, who: str, why: str, version: int) -> Flip:
    """Of an override that is set, replaced or cleared."""
    return Flip(OVERRIDE, _EVERYTHING if scope.is_default else scope_name(scope), before, after, who, why, str(version))


def undone(flip: Flip, reason: str) -> Flip:
    """The entry that takes another one back, whose change was not made."""
    said = {"setting": flip.evidence.get("was", ""), "was": flip.evidence.get("setting", "")}
    return replace(flip, before=flip.after, after=flip.before, why=f"not made: {reason}", evidence=said)


def _stage(text: str) -> Stage | None:
    """None where nothing is set, or a percentage."""
    return Stage(text) if text in tuple(Stage) else None


def _said(was: str, becomes: str) -> dict[str, str]:
    return {name: "" if text == "not set" else text for name, text in (("was", was), ("setting", becomes))}
