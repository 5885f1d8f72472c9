"""The checker can fail: each rule sees a history made to break it, and a good history passes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from checker import AttemptRow, DagEnd, Effect, History, Request, Seen, check


def good() -> History:
    """One task that was lost with its worker, ran again and completed; one that was stopped and retried."""
    return History(
        tasks={
            "a": Seen("acme", 0.0, shown="Completed", shown_by_grpc="COMPLETED"),
            "b": Seen(
                "acme",
                0.0,
                stops=[Request(1.0, 1.1)],
                retries=[Request(2.0, 2.1)],
                shown="Completed",
                shown_by_grpc="COMPLETED",
            ),
        },
        effects=[
            Effect("a", "a1", "start", 1.0, 11),
            Effect("a", "a2", "start", 2.0, 12),
            Effect("a", "a2", "end", 3.0, 12),
            Effect("b", "b1", "start", 2.2, 12),
            Effect("b", "b1", "end", 2.4, 12),
        ],
        statuses={"a": "COMPLETED", "b": "COMPLETED"},
        attempts={
            "a": [AttemptRow(1, "lost"), AttemptRow(2, "completed")],
            "b": [AttemptRow(1, "completed")],
        },
        kills={11: 1.5},
    )


def test_a_good_history_passes() -> None:
    assert check(good()) == []


def with_a_deaf_worker(ends: float) -> History:
    """The run of `b` that was stopped at 1.1 goes on until `ends`, beside the one that was retried."""
    history = good()
    history.effects += [Effect("b", "b0", "start", 0.5, 13), Effect("b", "b0", "cancelled", ends, 13)]
    history.attempts["b"].insert(0, AttemptRow(0, "stopped"))
    return history


def test_a_stopped_run_of_a_deaf_worker_may_end_a_little_later() -> None:
    assert check(with_a_deaf_worker(10.0)) == []
    assert "overlap" in {violation.rule for violation in check(with_a_deaf_worker(20.0))}


def lose(history: History) -> None:
    history.statuses = {**history.statuses, "a": "PROCESSING"}


def stick(history: History) -> None:
    history.stuck = {"a": 60.0}


def disagree(history: History) -> None:
    history.tasks["a"].shown = "Failed"


def disagree_over_grpc(history: History) -> None:
    history.tasks["b"].shown_by_grpc = "FAILED"


def engine_has_it_open(history: History) -> None:
    history.engines = {"a": "queued"}


def engine_says_otherwise(history: History) -> None:
    history.engines = {"a": "failed"}


def run_twice_by_a_copy(history: History) -> None:
    history.effects += [Effect("b", "b2", "start", 3.0, 11), Effect("b", "b2", "end", 3.1, 11)]


def complete_twice(history: History) -> None:
    history.attempts["b"].append(AttemptRow(2, "completed"))


def overlap(history: History) -> None:
    history.kills = {11: 2.5}


def never_end(history: History) -> None:
    history.kills = {}


def run_what_nobody_submitted(history: History) -> None:
    history.effects.append(Effect("c", "c1", "start", 1.0, 11))


def run_after_stop(history: History) -> None:
    history.tasks["b"].retries.clear()


def complete_what_was_stopped(history: History) -> None:
    history.tasks["a"].stops.append(Request(1.1, 1.2))


def begin_again_without_a_cause(history: History) -> None:
    history.attempts = {**history.attempts, "a": [AttemptRow(1, None), AttemptRow(2, "completed")]}


def begin_again_after_a_stop(history: History) -> None:
    history.attempts = {**history.attempts, "a": [AttemptRow(1, "stopped"), AttemptRow(2, "completed")]}


def run_without_an_entry(history: History) -> None:
    history.attempts = {**history.attempts, "b": [AttemptRow(1, "completed", is_joined=False)]}


def begin_from_redis_when_it_may_go(history: History) -> None:
    history.safe = [1.5]
    history.effects = [replace(effect, by="redis") for effect in history.effects]


def complete_without_running(history: History) -> None:
    history.effects = [effect for effect in history.effects if effect.task != "b"]


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (lose, "lost"),
        (run_without_an_entry, "unjoined"),
        (stick, "stuck"),
        (disagree, "disagree"),
        (disagree_over_grpc, "disagree"),
        (engine_has_it_open, "disagree"),
        (engine_says_otherwise, "disagree"),
        (run_twice_by_a_copy, "unexplained"),
        (complete_twice, "completions"),
        (overlap, "overlap"),
        (never_end, "overlap"),
        (run_what_nobody_submitted, "unaccepted"),
        (run_after_stop, "stopped"),
        (begin_from_redis_when_it_may_go, "safe"),
        (complete_without_running, "phantom"),
        (complete_what_was_stopped, "stopped"),
        (begin_again_without_a_cause, "unexplained"),
        (begin_again_after_a_stop, "unexplained"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_spoilt_history_is_seen(spoil: Callable[[History], None], rule: str) -> None:
    history = good()
    spoil(history)
    assert rule in {violation.rule for violation in check(history)}


def run_of_a_dag() -> History:
    """Beside the good history, a run of a DAG with one node."""
    history = good()
    history.tasks["r"] = Seen("acme", 0.0, shown="Completed", shown_by_grpc="COMPLETED", is_run=True)
    history.tasks["n"] = Seen("acme", 0.0, shown="Completed", shown_by_grpc="COMPLETED")
    history.statuses = {**history.statuses, "r": "COMPLETED", "n": "COMPLETED"}
    history.attempts = {
        **history.attempts,
        "r": [AttemptRow(1, "completed")],
        "n": [AttemptRow(1, "completed")],
    }
    history.effects += [Effect("n", "n1", "start", 1.0, 11), Effect("n", "n1", "end", 1.2, 11)]
    history.dags = {"r": DagEnd({"result": 7}, {"result": 7})}
    return history


def test_a_run_of_a_dag_passes() -> None:
    assert check(run_of_a_dag()) == []


@pytest.mark.parametrize("explanation", ["stops", "maybe_stopped", "is_node"])
def test_a_last_attempt_that_nobody_stopped_is_seen(explanation: str) -> None:
    history = good()
    history.tasks["a"] = seen = Seen("acme", 0.0, shown="Failed", shown_by_grpc="FAILED")
    history.statuses = {**history.statuses, "a": "FAILED"}
    history.attempts = {**history.attempts, "a": [AttemptRow(1, "lost"), AttemptRow(2, "stopped")]}
    assert {violation.rule for violation in check(history)} == {"given up"}
    setattr(seen, explanation, [Request(2.5, 2.6)] if explanation == "stops" else True)
    assert check(history) == []


def come_to_something_else(history: History) -> None:
    history.dags = {"r": DagEnd({"result": 7}, {"result": 8})}


def run_a_node_again(history: History) -> None:
    history.effects += [Effect("n", "n2", "start", 3.0, 11), Effect("n", "n2", "end", 3.1, 11)]


def end_a_run_twice(history: History) -> None:
    history.attempts["r"].append(AttemptRow(2, "completed"))


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [(come_to_something_else, "dag"), (run_a_node_again, "unexplained"), (end_a_run_twice, "completions")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_spoilt_run_of_a_dag_is_seen(spoil: Callable[[History], None], rule: str) -> None:
    history = run_of_a_dag()
    spoil(history)
    assert rule in {violation.rule for violation in check(history)}


def test_a_retry_that_overtook_the_stops_answer_explains_the_run() -> None:
    history = good()
    history.tasks["b"].retries = [Request(0.9, 1.2)]
    assert check(history) == []


def test_a_run_that_was_claimed_before_the_stop_may_begin_a_moment_later() -> None:
    history = good()
    history.tasks["b"].stops = [Request(2.0, 2.15)]
    history.tasks["b"].retries.clear()
    history.tasks["b"].shown, history.tasks["b"].shown_by_grpc = "Failed", "FAILED"
    history.statuses = {**history.statuses, "b": "FAILED"}
    assert "stopped" in {violation.rule for violation in check(history)}
    history.attempts = {**history.attempts, "b": [AttemptRow(1, "stopped")]}
    assert check(history) == []
    history.tasks["b"].stops = [Request(0.5, 0.6)]
    assert "stopped" in {violation.rule for violation in check(history)}


def beside_legacy() -> History:
    """One task that a legacy worker ran, noted by nobody; one that was retried after it, on the other backend."""
    history = good()
    history.tasks["c"] = Seen("acme", 0.0, shown="Completed", shown_by_grpc="COMPLETED")
    history.tasks["d"] = Seen("acme", 0.0, retries=[Request(2.0, 2.1)], shown="Completed", shown_by_grpc="COMPLETED")
    history.statuses = {**history.statuses, "c": "COMPLETED", "d": "COMPLETED"}
    history.effects += [
        Effect("c", "c1", "start", 1.0, 21, "legacy"),
        Effect("c", "c1", "end", 2.0, 21, "legacy"),
        Effect("d", "d1", "start", 1.0, 21, "legacy"),
        Effect("d", "d1", "failed", 2.0, 21, "legacy"),
        Effect("d", "d2", "start", 2.5, 11, "temporal"),
        Effect("d", "d2", "end", 2.6, 11, "temporal"),
    ]
    return history


def test_what_legacy_workers_do_passes() -> None:
    assert check(beside_legacy()) == []


def run_again_by_recovery(history: History) -> None:
    history.effects += [Effect("c", "c2", "start", 3.0, 21, "legacy"), Effect("c", "c2", "end", 4.0, 21, "legacy")]


def run_again_after_its_end(history: History) -> None:
    run_again_by_recovery(history)
    history.attempts = {**history.attempts, "c": [AttemptRow(1, "failed")]}


def run_on_the_other_backend_too(history: History) -> None:
    history.attempts = {**history.attempts, "c": [AttemptRow(1, "failed")]}
    history.effects += [Effect("c", "c2", "start", 3.0, 11, "temporal"), Effect("c", "c2", "end", 4.0, 11, "temporal")]


def stopped_long_before(history: History) -> None:
    history.tasks["c"].stops.append(Request(-10.0, -9.9))


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (run_again_by_recovery, "unexplained"),
        (run_again_after_its_end, "unexplained"),
        (run_on_the_other_backend_too, "backends"),
        (stopped_long_before, "stopped"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_what_legacy_workers_must_not_do_is_seen(spoil: Callable[[History], None], rule: str) -> None:
    history = beside_legacy()
    spoil(history)
    assert rule in {violation.rule for violation in check(history)}


@pytest.mark.parametrize("change", [Request(1.0), Request(1.0, 1.2), Request(1.6, 1.7)])
def test_who_changes_a_stage_takes_the_word_back(change: Request) -> None:
    history = good()
    begin_from_redis_when_it_may_go(history)
    history.changes = [change]
    assert check(history) == []


@pytest.mark.parametrize("change", [Request(-9.0, -8.0), Request(2.1, 2.2)])
def test_a_change_long_before_or_later_does_not(change: Request) -> None:
    history = good()
    begin_from_redis_when_it_may_go(history)
    history.changes = [change]
    assert "safe" in {violation.rule for violation in check(history)}
