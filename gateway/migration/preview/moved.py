"""Who would move at each step: every context is asked once, and where a task's own key decides, a sample of tasks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import asyncpg

from gateway.fleet.pools import pool_of
from gateway.migration.preview.estimate import Estimate
from gateway.migration.preview.flag_view import Answer, FlagView
from gateway.routing.flag_document import Json
from gateway.routing.query import RouteQuery
from gateway.routing.stages import TEMPORAL, backend_of

#: Tenants of a step that are named.
NAMED = 20


class Key(NamedTuple):
    """What tells one context of the flag from another, but for a tenant's plan."""

    tenant_id: str | None
    project_id: str | None
    task_type: str


@dataclass(slots=True)
class Context:
    """Recorded tasks about which the flag is asked the same. `seconds`: of a run on average, None: none has ended.

    `on_temporal`: the part of its tasks that runs there, now and after each step.
    """

    query: RouteQuery
    tasks: int
    seconds: float | None
    answer: Answer
    on_temporal: list[float] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return Key(self.query.tenant_id, self.query.project_id, self.query.task_type)

    @property
    def pool(self) -> str:
        return pool_of(TEMPORAL, self.query.tier)


@dataclass(slots=True)
class Sampled:
    """A task whose own key may decide."""

    query: RouteQuery
    answer: Answer


@dataclass(slots=True)
class Moves:
    """What one step does. `restaged`: at another stage on the same engine; `overridden`: left where an override is."""

    by_type: dict[str, dict[str, Estimate]] = field(default_factory=lambda: defaultdict(_kinds))
    by_tenant: Counter[str] = field(default_factory=Counter)
    recorded: Counter[str] = field(default_factory=Counter)
    all: dict[str, Estimate] = field(default_factory=lambda: _kinds())
    overridden: int = 0

    def view(self) -> Json:
        types = [
            {"task_type": name, "recorded": self.recorded[name], **{k: one.view() for k, one in kinds.items()}}
            for name, kinds in self.by_type.items()
            if any(one.interval[1] for one in kinds.values())
        ]
        moved = Counter({name: count for name, count in self.by_tenant.items() if count})
        most = [{"tenant_id": name or None, "tasks": count} for name, count in moved.most_common(NAMED)]
        return {
            **{kind: one.view() for kind, one in self.all.items()},
            "overridden": self.overridden,
            "by_type": sorted(types, key=lambda one: (-one["recorded"], one["task_type"])),
            "tenants": len(moved),
            "most": most,
        }


def _kinds() -> dict[str, Estimate]:
    return {"to_temporal": Estimate(), "to_redis": Estimate(), "restaged": Estimate()}


def _kind(before: Answer, after: Answer) -> str | None:
    if before.stage is after.stage:
        return None
    if backend_of(before.stage) == backend_of(after.stage):
        return "restaged"
    return "to_temporal" if backend_of(after.stage) == TEMPORAL else "to_redis"


class Recorded:
    """The contexts of a window, at the stages of the flag that `view` holds."""

    def __init__(self, view: FlagView, rows: Sequence[asyncpg.Record]) -> None:
        self._view = view
        self.contexts: list[Context] = []
        for row in rows:
            query = query_of(row)
            self.contexts.append(Context(query, row["tasks"], row["seconds"], view.ask(query)))
        self.samples: dict[int, list[Sampled]] = {}
        self._after: dict[int, Answer] = {}
        self._by_key = {one.key: number for number, one in enumerate(self.contexts)}
        for one in self.contexts:
            one.on_temporal.append(_share(one.answer))

    def number_of(self, key: Key) -> int | None:
        """Of the context with this key."""
        return self._by_key.get(key)

    @property
    def tasks(self) -> int:
        return sum(one.tasks for one in self.contexts)

    def consider(self, document: Json, tenants: frozenset[str] | None) -> set[int]:
        """Ask about a change to this flag, which concerns these tenants only (None: all), for `step`.

        Returns the contexts of which tasks have to be sampled first, because before or after it their own keys decide.
        """
        self._view.put(document)
        concerned = [n for n, one in enumerate(self.contexts) if tenants is None or one.query.tenant_id in tenants]
        self._after = {n: self._view.ask(self.contexts[n].query) for n in concerned}
        by_task = {n for n, after in self._after.items() if after.by_task or self.contexts[n].answer.by_task}
        return by_task - self.samples.keys()

    def add_samples(self, rows: Sequence[asyncpg.Record], wanted: set[int], before: Json) -> None:
        """Tasks of the contexts that are `wanted`, at the stage that the flag had `before`."""
        self._view.put(before)
        for number in wanted:
            self.samples[number] = []
        for row in rows:
            found = self._by_key.get(Key(row["tenant_id"], row["project_id"], row["task_type"]))
            if found is not None and found in wanted:
                query = query_of(row)
                self.samples[found].append(Sampled(query, self._view.ask(query)))

    def step(self, document: Json) -> Moves:
        """Take the change that was considered."""
        self._view.put(document)
        moves = Moves()
        for one in self.contexts:
            one.on_temporal.append(one.on_temporal[-1])
        for number, after in self._after.items():
            one, samples = self.contexts[number], self.samples.get(number)
            moves.recorded[one.query.task_type] += one.tasks
            before, one.answer = one.answer, after
            if samples is not None:
                self._step_sampled(moves, one, samples)
                continue
            one.on_temporal[-1] = _share(after)
            moves.overridden += one.tasks if after.by_override else 0
            if kind := _kind(before, after):
                moves.by_type[one.query.task_type][kind].counted += one.tasks
                moves.all[kind].counted += one.tasks
                moves.by_tenant[one.query.tenant_id or ""] += one.tasks
        self._share_alike()
        return moves

    def _share_alike(self) -> None:
        """Contexts of a pool that were sampled have one share: of most there are too few tasks in the sample."""
        drawn: dict[str, list[float]] = defaultdict(list)
        sampled = {n: self.contexts[n] for n in self._after.keys() & self.samples.keys()}
        for number, one in sampled.items():
            drawn[one.pool] += [_share(sample.answer) for sample in self.samples[number]]
        for one in sampled.values():
            if shares := drawn[one.pool]:
                one.on_temporal[-1] = sum(shares) / len(shares)

    def is_on_temporal(self, query: RouteQuery) -> bool:
        """After the last step."""
        return backend_of(self._view.ask(query).stage) == TEMPORAL

    def _step_sampled(self, moves: Moves, one: Context, samples: Sequence[Sampled]) -> None:
        hits: Counter[str] = Counter()
        for sample in samples:
            before, sample.answer = sample.answer, self._view.ask(sample.query)
            if kind := _kind(before, sample.answer):
                hits[kind] += 1
        for kinds in (moves.by_type[one.query.task_type], moves.all):
            for kind, estimate in kinds.items():
                estimate.drawn_from += one.tasks
                estimate.drawn += len(samples)
                estimate.hits += hits[kind]
        if samples:
            moves.by_tenant[one.query.tenant_id or ""] += round(one.tasks * hits.total() / len(samples))


def query_of(row: Any) -> RouteQuery:
    """What routing is asked about a context, or about a task."""
    task_id = row.get("task_id") or ""
    return RouteQuery(row["tenant_id"], row["task_type"], task_id, row["project_id"], plan=row["plan"])


def _share(answer: Answer) -> float:
    return 1.0 if backend_of(answer.stage) == TEMPORAL else 0.0
