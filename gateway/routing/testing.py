"""Flags and overrides in plain memory, for tests of whatever routes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from gateway.routing.flag_document import Json
from gateway.routing.flag_edit import new_flag, with_stage
from gateway.routing.flag_evaluation import FlagEvaluation
from gateway.routing.overrides import Override, deciding
from gateway.routing.query import RouteQuery, Scope, scopes_of
from gateway.routing.stages import Stage


class StaticFlags:
    """Answers what it was told, without the SDK; `put` is in force at once and calls the listeners."""

    def __init__(self, default: Stage = Stage.OFF, *, flag_key: str = "task-backend") -> None:
        self.flag_key = flag_key
        self.owner = "memory"
        self.trouble: str | None = None
        self._stages = {Scope(): default}
        self._listeners: list[Callable[[], None]] = []

    def put(self, scope: Scope, stage: Stage) -> None:
        self._stages[scope] = stage
        for listener in self._listeners:
            listener()

    def evaluate(self, query: RouteQuery) -> FlagEvaluation:
        stage = next(self._stages[scope] for scope in scopes_of(query) if scope in self._stages)
        return FlagEvaluation(stage, known=True, reason={"kind": "FALLTHROUGH"})

    def document(self) -> Json | None:
        flag = new_flag(self.flag_key)
        for scope, stage in self._stages.items():
            flag = with_stage(flag, scope, stage)
        return flag

    def problem(self) -> str | None:
        return self.trouble

    def note(self) -> str | None:
        return None

    def add_listener(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)


class StaticOverrides:
    """Overrides without a table; `put` is in force at once and calls the listeners."""

    def __init__(self) -> None:
        self._rows: dict[Scope, Override] = {}
        self._listeners: list[Callable[[], None]] = []

    def put(self, scope: Scope, stage: Stage, *, why: str = "test", by: str = "test") -> None:
        self._rows[scope] = Override(scope, stage, why, by, datetime.now(UTC))
        for listener in self._listeners:
            listener()

    def find(self, query: RouteQuery) -> Override | None:
        return deciding(self._rows, query, time.monotonic())

    def rows(self) -> list[Override]:
        return list(self._rows.values())

    def problem(self) -> str | None:
        return None

    def add_listener(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)
