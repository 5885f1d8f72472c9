"""What changed between two states of a flag, as entries of the ledger. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.migration.ledger.flag_settings import ALL, Setting, flag_settings
from gateway.migration.ledger.writer import Flip
from gateway.routing.flag_document import Json
from gateway.routing.stages import Stage

#: A change of more scopes at once is one entry, which lists them.
MOST_ENTRIES = 50
#: The scope of such an entry.
SEVERAL = "several"


def flips_between(
    before: Mapping[str, Setting], after: Mapping[str, Setting], *, source: str, who: str, why: str, version: str
) -> list[Flip]:
    """One flip for each scope whose setting changed, or one for all of them when they are many."""
    changed = sorted(
        scope for scope in before.keys() | after.keys() if _text(before.get(scope)) != _text(after.get(scope))
    )
    if len(changed) > MOST_ENTRIES:
        listed = {scope: [_text(before.get(scope)), _text(after.get(scope))] for scope in changed}
        return [Flip(source, SEVERAL, None, None, who, why, version, {"scopes": listed})]
    found = []
    for scope in changed:
        old, new = before.get(scope), after.get(scope)
        evidence = {} if old is None else {"before": old.text}
        if new is not None:
            evidence["setting"] = new.text
        found.append(Flip(source, scope, _stage(old), _stage(new), who, why, version, evidence))
    return found


def flips_of_change(before: Json | None, after: Json, *, source: str, who: str, why: str, version: str) -> list[Flip]:
    """The same for two documents of a flag, `before` None: there was none. For who changes it through the gateway."""
    old = {ALL: Setting("off", Stage.OFF)} if before is None else flag_settings(before)
    return flips_between(old, flag_settings(after), source=source, who=who, why=why, version=version)


def _text(setting: Setting | None) -> str:
    return "" if setting is None else setting.text


def _stage(setting: Setting | None) -> Stage | None:
    return None if setting is None else setting.stage
