"""Judges a history: knows only what clients saw, what handlers did, and what the rows say in the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Any

TERMINAL = {"COMPLETED", "FAILED", "STOPPED"}
#: States in which an engine would still do something.
OPEN = {"queued", "running"}
LEGACY = "legacy"
#: The kinds of workers that Redis gives tasks to.
FROM_REDIS = {"redis", LEGACY}
#: A legacy worker that has taken a payload from its list begins it whatever happens meanwhile (R9), within so many
#: seconds.
LEGACY_GRACE = 5.0
#: A run whose claim was granted before the stop, so that its attempt was stopped, may begin so much after its answer.
CLAIMED_GRACE = 1.0
#: A change of a stage is in force in every gateway so much after its answer: they look at the flag every 5 s when the
#: connection that announces changes is gone.
IN_FORCE_GRACE = 6.0
#: A stopped run whose worker hears nothing goes on beside a retry's until that worker has given its connections up
#: (10 s) and has compared what it runs with its rows.
DEAF_GRACE = 15.0


@dataclass(slots=True)
class Request:
    """When a client sent it, and when it was answered; infinity while, or if, no answer came."""

    sent: float
    answered: float = inf
    repeated: bool = False
    """Whether an answer was lost, so that the request may have been carried out more than once."""


@dataclass(slots=True)
class Seen:
    """What the clients know of one task. Times are on the monotonic clock."""

    tenant: str
    submitted: float
    stops: list[Request] = field(default_factory=list)
    """Every stop that was carried out."""
    maybe_stopped: bool = False
    """Whether there was another one that may have been: its answer was lost, and its repetition refused."""
    retries: list[Request] = field(default_factory=list)
    """Every retry that was carried out, or may have been."""
    shown: str = ""
    """The final status over HTTP."""
    shown_by_grpc: str = ""
    is_run: bool = False
    """Whether it is a run of a DAG, which no handler runs."""
    is_node: bool = False
    """Whether it is a node of a DAG, which the end of its run stops."""


@dataclass(frozen=True, slots=True)
class DagEnd:
    """What a run of a DAG comes to when nothing strikes, and what it came to."""

    expected: Mapping[str, Any]
    found: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Effect:
    task: str
    run: str
    event: str
    at: float
    pid: int
    by: str = ""
    """`redis`, `temporal` or `legacy`: which kind of worker ran it."""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    attempt: int
    outcome: str | None
    is_joined: bool = True
    """Whether an entry of the ledger says why it ran there."""


@dataclass(slots=True)
class History:
    tasks: dict[str, Seen]
    effects: list[Effect]
    statuses: Mapping[str, str]
    """`task_logs.status` in the end."""
    attempts: Mapping[str, list[AttemptRow]]
    kills: Mapping[int, float]
    """When each process that was killed died."""
    engines: Mapping[str, str] = field(default_factory=dict)
    """What the engine itself says of the last start of a task: a state, or what it still holds of it."""
    stuck: Mapping[str, float] = field(default_factory=dict)
    """Tasks that were open when everything could have ended, and how long after the last fault that was (seconds)."""
    dags: Mapping[str, DagEnd] = field(default_factory=dict)
    """By the id of the run; its nodes are tasks like any other."""
    changes: Sequence[Request] = ()
    """Of stages."""
    safe: Sequence[float] = ()
    """When a drain said that Redis may be switched off."""


@dataclass(frozen=True, slots=True)
class Violation:
    rule: str
    task: str
    detail: str


@dataclass(slots=True)
class _Run:
    start: float
    pid: int
    by: str
    end: float | None = None
    event: str = ""


def check(history: History) -> list[Violation]:
    """Every violation of a rule, in no particular order."""
    runs = _runs(history)
    found: list[Violation] = []
    for task_id in runs.keys() - history.tasks.keys():
        found.append(Violation("unaccepted", task_id, "ran, but nobody was told that it was accepted"))
    for task_id, seen in history.tasks.items():
        found += _check_task(task_id, seen, runs.get(task_id, []), history)
    for task_id, seconds in history.stuck.items():
        found.append(Violation("stuck", task_id, f"still open {seconds:.0f} s after the last fault"))
    for run_id, end in history.dags.items():
        for name in end.expected:
            if end.found.get(name) != end.expected[name]:
                detail = f"{name} is {end.found.get(name)}, without faults {end.expected[name]}"
                found.append(Violation("dag", run_id, detail))
    return [*found, *_check_safe(history)]


def _check_safe(history: History) -> Iterable[Violation]:
    """Nothing begins from Redis once it may be switched off, until somebody changes a stage."""
    starts = sorted((one.at, one.task) for one in history.effects if one.event == "start" and one.by in FROM_REDIS)
    for said in history.safe:
        changed = [change.sent for change in history.changes if change.answered + IN_FORCE_GRACE > said]
        for at, task_id in starts:
            if said < at < min(changed, default=inf):
                yield Violation("safe", task_id, f"began from Redis {at - said:.3f} s after it might be switched off")
                break


def _check_task(task_id: str, seen: Seen, runs: list[_Run], history: History) -> Iterable[Violation]:
    status = history.statuses.get(task_id)
    if status not in TERMINAL:
        yield Violation("lost", task_id, f"ends as {status}")
    else:
        yield from _check_views(task_id, seen, status, history.engines.get(task_id, ""))
    if status == "COMPLETED" and not seen.is_run and not any(run.event == "end" for run in runs):
        yield Violation("phantom", task_id, "COMPLETED, but no run of the handler came to its end")
    if status == "COMPLETED" and any(not _retried_after(stop, seen) for stop in seen.stops):
        yield Violation("stopped", task_id, "COMPLETED, although it was stopped, and nobody retried it")
    attempts = history.attempts.get(task_id, [])
    if unjoined := [row.attempt for row in attempts if not row.is_joined]:
        yield Violation("unjoined", task_id, f"no entry of the ledger belongs to its attempts {unjoined}")
    if any(run.by == LEGACY for run in runs):
        yield from _check_legacy(task_id, seen, runs, attempts)
        return
    completed = [row for row in attempts if row.outcome == "completed"]
    # Only failed and stopped tasks can be retried, so a task completes once at most.
    if status == "COMPLETED" and len(completed) != 1:
        yield Violation("completions", task_id, f"{len(completed)} completed attempts")
    if len(runs) > len(attempts):
        yield Violation("unexplained", task_id, f"{len(runs)} runs of the handler, {len(attempts)} recorded attempts")
    yield from _check_attempts(task_id, seen, attempts)
    yield from _check_overlap(task_id, seen, runs, history.kills)
    yield from _check_stops(task_id, seen, runs, attempts)


def _check_views(task_id: str, seen: Seen, status: str, engine: str) -> Iterable[Violation]:
    """The same end for everybody who looks."""
    for view, shown in (("HTTP", seen.shown), ("gRPC", seen.shown_by_grpc)):
        if shown.upper() != status:
            yield Violation("disagree", task_id, f"{view} shows {shown}, the row says {status}")
    if engine in OPEN or (status == "COMPLETED" and engine not in ("", "completed")):
        yield Violation("disagree", task_id, f"the engine says {engine}, the row says {status}")


def _check_legacy(task_id: str, seen: Seen, runs: list[_Run], attempts: list[AttemptRow]) -> Iterable[Violation]:
    """Unmodified legacy workers claim nothing and do not hear of a stop (T2, R9); the reconciler notes their attempts.

    What can be demanded where one of them ran a task: it begins again only because of a retry, of a failure or of a
    lost worker, and it never runs on both backends without a retry.
    """
    causes = attempts if seen.stops else [row for row in attempts if row.outcome != "failed" or row != attempts[-1]]
    reasons = len(seen.retries) + sum(row.outcome in ("failed", "lost") for row in causes)
    if len(runs) > 1 + reasons:
        yield Violation("unexplained", task_id, f"{len(runs)} runs beside a legacy worker, {reasons} reasons for more")
    if "temporal" in {run.by for run in runs} and not seen.retries:
        yield Violation("backends", task_id, "ran on both backends, and nobody retried it")
    for stop in seen.stops:
        late = [run for run in runs if run.start > stop.answered + LEGACY_GRACE]
        if late and not any(retry.answered > stop.sent and retry.sent <= late[0].start for retry in seen.retries):
            yield Violation("stopped", task_id, f"began {late[0].start - stop.answered:.3f} s after its stop")


def _check_attempts(task_id: str, seen: Seen, attempts: list[AttemptRow]) -> Iterable[Violation]:
    """What makes another attempt: a failure, a lost worker, or a retry of what was stopped."""
    before = [row.outcome for row in attempts[:-1]]
    if causeless := [outcome for outcome in before if outcome not in ("failed", "lost", "stopped")]:
        yield Violation("unexplained", task_id, f"another attempt after one that was {causeless[0] or 'not over'}")
    if before.count("stopped") > len(seen.retries):
        yield Violation("unexplained", task_id, "another attempt after a stop, and nobody retried it")
    is_stopped = bool(attempts) and attempts[-1].outcome == "stopped"
    if is_stopped and not (seen.stops or seen.maybe_stopped or seen.is_node):
        yield Violation("given up", task_id, "its last attempt was stopped, and nobody stopped it")


def _check_overlap(task_id: str, seen: Seen, runs: list[_Run], kills: Mapping[int, float]) -> Iterable[Violation]:
    for before, after in pairwise(runs):
        end = before.end if before.end is not None else kills.get(before.pid)
        if end is None:
            yield Violation("overlap", task_id, f"a run in process {before.pid} never ended, another began")
        elif after.start < end and not _was_deaf(before.start, after.start, end, seen):
            yield Violation("overlap", task_id, f"a run began {end - after.start:.3f} s before the one before ended")


def _was_deaf(began: float, retried: float, ended: float, seen: Seen) -> bool:
    """The run was stopped, its task was retried, and it ended in time."""
    stops = [stop for stop in seen.stops if began < stop.answered <= retried]
    return any(ended < stop.answered + DEAF_GRACE and _retried_after(stop, seen) for stop in stops)


def _check_stops(task_id: str, seen: Seen, runs: list[_Run], attempts: list[AttemptRow]) -> Iterable[Violation]:
    claimed_before = any(row.outcome == "stopped" for row in attempts)
    for stop in seen.stops:
        for run in runs:
            # A retry whose answer came after the stop was sent may have been carried out after it.
            retried = any(retry.answered > stop.sent and retry.sent <= run.start for retry in seen.retries)
            crossed = claimed_before and run.start < stop.answered + CLAIMED_GRACE
            if run.start > stop.answered and not retried and not crossed:
                late = run.start - stop.answered
                yield Violation("stopped", task_id, f"began {late:.3f} s after its stop was acknowledged")


def _retried_after(stop: Request, seen: Seen) -> bool:
    """A retry whose answer came after the stop was sent may have been carried out after it."""
    return any(retry.answered > stop.sent for retry in seen.retries)


def _runs(history: History) -> dict[str, list[_Run]]:
    """The runs of each task, by their beginning."""
    by_run: dict[str, _Run] = {}
    tasks: dict[str, list[_Run]] = defaultdict(list)
    for effect in history.effects:
        if effect.event == "start":
            run = by_run[effect.run] = _Run(effect.at, effect.pid, effect.by)
            tasks[effect.task].append(run)
        else:
            by_run[effect.run].end, by_run[effect.run].event = effect.at, effect.event
    for runs in tasks.values():
        runs.sort(key=lambda run: run.start)
    return dict(tasks)
