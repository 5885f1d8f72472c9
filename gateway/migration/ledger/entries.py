"""Which entry of the ledger made a task go where it goes: in memory, for each start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.migration.ledger.flag_settings import ALL, CONDITIONS, DEFAULT
from gateway.routing.overrides import Override
from gateway.routing.query import RouteQuery, scopes_of
from gateway.routing.scope_names import scope_name

#: Answers that are remembered; more are worked out anew.
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class InForce:
    """The newest entry of a scope, and what it says (empty: nothing is set any more)."""

    setting: str
    entry_id: int
    version: str = ""


class EntriesInForce:
    """The newest entry of each scope, as the observer last read them.

    Not ready until flag and overrides were compared with the ledger: nothing is started before.
    """

    def __init__(self) -> None:
        self._layers: dict[str, Mapping[str, InForce]] = {}
        self._found: dict[tuple[object, ...], int | None] = {}
        self.problem: str | None = None
        """What keeps a change from being recorded, and so from being in force; in one line."""

    @property
    def is_ready(self) -> bool:
        return len(self._layers) == 2

    def put(self, layer: str, entries: Mapping[str, InForce]) -> None:
        self._layers[layer] = entries
        self._found.clear()

    def find(self, query: RouteQuery, override: Override | None, reason: Mapping[str, Any] | None) -> int | None:
        """The newest entry that led to this route: of the setting that decided, or of one before it that is gone.

        `override` is the one that decided, if one did; `reason` the flag's.
        """
        rule = None if reason is None else (reason.get("kind"), reason.get("ruleId"), reason.get("ruleIndex"))
        decided_by = override and (override.scope, override.stands_in)
        key = query.tenant_id, query.project_id, query.task_type, decided_by, rule
        if key not in self._found:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            self._found[key] = max(self._leading(query, override, reason), default=None)
        return self._found[key]

    def _leading(self, query: RouteQuery, override: Override | None, reason: Mapping[str, Any] | None) -> Iterator[int]:
        overrides, flag = self._layers.get("override", {}), self._layers.get("flag", {})
        for scope in scopes_of(query):
            decides = override if override is not None and override.scope == scope else None
            entry = overrides.get(scope_name(scope))
            if entry is not None and (decides is not None or not entry.setting):
                yield entry.entry_id
            # Before one that stands in for the flag come the less specific ones, too.
            if decides is not None and not decides.stands_in:
                return
        if override is not None:
            return
        own = [scope_name(scope) for scope in scopes_of(query) if not scope.is_default]
        decided = _deciding(reason, own, flag)
        for name in [ALL, *own]:
            entry = flag.get(name)
            if entry is not None and (name == decided or not entry.setting):
                yield entry.entry_id
            if name == decided:
                break
        setting, conditions = flag.get(decided), flag.get(CONDITIONS)
        if setting is not None:
            yield setting.entry_id
        # Conditions that came with the setting itself are no reason of their own.
        if conditions is not None and (setting is None or conditions.version != setting.version):
            yield conditions.entry_id


def _deciding(reason: Mapping[str, Any] | None, own: list[str], flag: Mapping[str, InForce]) -> str:
    """The scope whose setting the flag's reason names."""
    kind = (reason or {}).get("kind")
    if kind in (None, "OFF"):
        return ALL
    if kind == "FALLTHROUGH":
        return DEFAULT
    if kind == "RULE_MATCH" and reason is not None:
        name = f"rule:{reason.get('ruleId') or reason.get('ruleIndex')}"
        if name in flag and flag[name].setting:
            return name
    elif kind != "TARGET_MATCH":
        return CONDITIONS
    return next((name for name in own if name in flag and flag[name].setting), CONDITIONS)
