"""Which backend a task is started on: override, else flag, else `off`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from gateway.routing.errors import FlagFileInvalid
from gateway.routing.flag_document import Json, check_flag, reached_stages
from gateway.routing.flag_evaluation import FlagEvaluation
from gateway.routing.flag_text import describe_reason
from gateway.routing.overrides import Override
from gateway.routing.query import RouteQuery
from gateway.routing.rules import LAST_KNOWN, rule_of
from gateway.routing.stages import REDIS, TEMPORAL, Stage, backend_of, effective
from gateway.settings import Settings

__all__ = ["Route", "RouteQuery", "Router", "configured_backends"]

logger = logging.getLogger(__name__)

#: How many names a problem lists before it only counts.
_NAMES_SHOWN = 5


class Flags(Protocol):
    """`FlagSource`, as the router sees it."""

    flag_key: str

    @property
    def owner(self) -> str: ...

    def evaluate(self, query: RouteQuery) -> FlagEvaluation: ...

    def document(self) -> Json | None: ...

    def problem(self) -> str | None: ...

    def note(self) -> str | None: ...

    def add_listener(self, listener: Callable[[], None]) -> None: ...


class OverrideView(Protocol):
    """`Overrides`, as the router sees it."""

    def find(self, query: RouteQuery) -> Override | None: ...

    def rows(self) -> list[Override]: ...

    def problem(self) -> str | None: ...

    def add_listener(self, listener: Callable[[], None]) -> None: ...


class Entries(Protocol):
    """`EntriesInForce` of the ledger, as the router sees it."""

    @property
    def is_ready(self) -> bool: ...

    @property
    def problem(self) -> str | None: ...

    def find(self, query: RouteQuery, override: Override | None, reason: Mapping[str, Any] | None) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Route:
    """Where a task goes, and why.

    `stage` is what was asked for, `effective` what is carried out. With `usable` False the backend is not configured
    here: the task waits, and `problem` says so. `flag` is the evaluation to be handed to `FlagSource.record` after
    the dispatch (None when an override decided). `rule` is what decided, in a word, and `entry_id` the entry of the
    ledger behind it.
    """

    backend: str
    stage: Stage
    effective: Stage
    source: Literal["override", "flag", "default"]
    reason: str
    usable: bool
    problem: str | None = None
    flag: FlagEvaluation | None = None
    override: Override | None = None
    rule: str = ""
    entry_id: int | None = None


class Router:
    """Chooses backends, in memory and without waiting. Until `entries` are ready no route is usable: tasks wait."""

    def __init__(
        self,
        flags: Flags,
        overrides: OverrideView | None,
        configured: frozenset[str],
        entries: Entries | None = None,
        *,
        on_evaluated: Callable[[FlagEvaluation], None] = lambda _: None,
    ) -> None:
        self._flags = flags
        self._on_evaluated = on_evaluated
        self._entries = entries
        self._overrides = overrides
        self._configured = configured
        self._lock = threading.Lock()
        self._known_problems: list[str] = []
        flags.add_listener(self._reassess)
        if overrides is not None:
            overrides.add_listener(self._reassess)

    @property
    def configured(self) -> frozenset[str]:
        return self._configured

    @property
    def is_ready(self) -> bool:
        """Whether flag and overrides are known, and compared with the ledger: before, nothing is started."""
        return self._entries is None or self._entries.is_ready

    def route(self, query: RouteQuery) -> Route:
        """The backend for a task that is due now."""
        override = None if self._overrides is None else self._overrides.find(query)
        if override is not None:
            return self._overridden(query, override)
        evaluation = self._flags.evaluate(query)
        self._on_evaluated(evaluation)
        if not evaluation.known:
            return self._made(query, evaluation.stage, "default", self._flags.note() or "no flag is known yet")
        return self._made(query, evaluation.stage, "flag", f"flag {self._flags.flag_key}", flag=evaluation)

    def explain(self, query: RouteQuery) -> Route:
        """As `route`, for people: `reason` names the target, rule or percentage that decided."""
        override = None if self._overrides is None else self._overrides.find(query)
        if override is not None:
            return self._overridden(query, override)
        evaluation, document = self._flags.evaluate(query), self._flags.document()
        if not evaluation.known or document is None:
            reason = self._flags.problem() or self._flags.note() or "no flag is known yet"
            return self._made(query, evaluation.stage, "default", reason)
        return self._made(
            query, evaluation.stage, "flag", describe_reason(document, evaluation.reason or {}, query), flag=evaluation
        )

    def reaches(self, stage: Stage) -> bool:
        """Whether anybody may be at this stage: the flag can answer it, or an override names it."""
        return stage in self._asked() or any(row.stage is stage for row in self._override_rows())

    def problems(self) -> list[str]:
        """What operators must know, one line each: for readiness and `route explain`.

        Stages that ask for a backend which is not configured, a flag source or an override table that is not up to
        date. None of them keeps the gateway from accepting tasks.
        """
        return self.doubts() + self._unserved(_listed)

    def problems_in_brief(self) -> list[str]:
        """`problems` for those who may know no tenant: counts instead of names, and no text of another system."""
        found = [f"{what} may not be up to date" for what, problem in self._doubts().items() if problem is not None]
        return found + self._unserved(_counted)

    def doubts(self) -> list[str]:
        """Why the flag or the overrides may not be up to date here."""
        return [problem for problem in self._doubts().values() if problem is not None]

    def short_of(self, stage: Stage) -> list[str]:
        """Whom the flag or an override may keep from this stage, now or once one expires; each with its stage."""
        rows = self._override_rows()
        found = [f"override for {row.scope}, {row.stage}" for row in rows if row.stage is not stage]
        if any(row.scope.is_default and row.expires_at is None for row in rows):
            return found  # nobody asks the flag
        asked = self._asked()
        if not asked:
            return [*found, f"flag {self._flags.flag_key}, which cannot be read"]
        return found + [f"{whom} at {other}" for other, names in asked.items() if other is not stage for whom in names]

    def _overridden(self, query: RouteQuery, override: Override) -> Route:
        until = "" if override.expires_at is None else f" until {override.expires_at:%Y-%m-%d %H:%M %Z}"
        reason = f"override for {override.scope} by {override.set_by}{until}: {override.why}"
        return self._made(query, override.stage, "override", reason, override=override)

    def _made(
        self,
        query: RouteQuery,
        stage: Stage,
        source: Literal["override", "flag", "default"],
        reason: str,
        *,
        flag: FlagEvaluation | None = None,
        override: Override | None = None,
    ) -> Route:
        backend = backend_of(stage)
        problem = None
        if backend not in self._configured:
            problem = f"stage {stage} asks for {backend}, which is not configured here; its tasks wait"
        elif not self.is_ready:
            problem = "the flag was not yet compared with the ledger; tasks wait"
        scope = None if override is None else override.scope
        why = None if flag is None else flag.reason
        return Route(
            backend,
            stage,
            effective(stage),
            source,
            reason,
            problem is None,
            problem,
            flag,
            override,
            rule_of(scope, why) + (LAST_KNOWN if flag is not None and flag.last_known else ""),
            None if self._entries is None else self._entries.find(query, override, why),
        )

    def _doubts(self) -> dict[str, str | None]:
        """What may not be up to date, with the reason; None: it is."""
        return {
            "the flag": self._flags.problem(),
            "the override table": None if self._overrides is None else self._overrides.problem(),
            "the flag in force": None if self._entries is None else self._entries.problem,
        }

    def _unserved(self, told: Callable[[list[str]], str]) -> list[str]:
        """Scopes whose stage needs a backend that is not configured. Read from the flag, before any task comes.

        `told`: how scopes are told of.
        """
        found = []
        stages = self._asked()
        for stage in Stage:
            backend = backend_of(stage)
            if backend in self._configured:
                continue
            if whom := stages.get(stage):
                found.append(f"flag {self._flags.flag_key}: {_unserved_text(stage, backend, told(whom))}")
            if whom := [str(row.scope) for row in self._override_rows() if row.stage is stage]:
                found.append(f"override: {_unserved_text(stage, backend, told(whom))}")
        return found

    def _asked(self) -> dict[Stage, list[str]]:
        document = self._flags.document()
        if document is None:
            return {Stage.OFF: ["default"]}
        try:
            check_flag(document)
        except FlagFileInvalid:  # LaunchDarkly's data only; the source reports it
            return {}
        return reached_stages(document)

    def _override_rows(self) -> list[Override]:
        return [] if self._overrides is None else self._overrides.rows()

    def _reassess(self) -> None:
        """Log each problem with the configuration once when it comes, and once when it is gone."""
        with self._lock:
            before, self._known_problems = self._known_problems, self._unserved(_listed)
            for problem in self._known_problems:
                if problem not in before:
                    logger.error("%s", problem)
            if before and not self._known_problems:
                logger.info("Every stage asked for has its backend again")


def configured_backends(settings: Settings) -> frozenset[str]:
    """The backends that the settings give an address for."""
    addresses = {REDIS: settings.redis_url, TEMPORAL: settings.temporal_address}
    return frozenset(name for name, address in addresses.items() if address)


def _unserved_text(stage: Stage, backend: str, whom: str) -> str:
    return f"stage {stage} ({whom}) asks for {backend}, which is not configured; its tasks wait"


def _listed(whom: list[str]) -> str:
    names = list(dict.fromkeys(whom))
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _counted(whom: list[str]) -> str:
    return f"in force for {len(set(whom))}"
