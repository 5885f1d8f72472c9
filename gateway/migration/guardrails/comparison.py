"""Whether a tenant's tasks do worse on Temporal than on Redis: streams of yes and no, tested after each outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.migration.guardrails.baseline import Answers, Run, TypeBaseline
from gateway.migration.guardrails.decision import Regression, Sight
from gateway.migration.parity.eprocess import log_e_value

#: A tenant-migration is taken back by mistake at most so often, however long it is watched.
ALPHA: Final = 1e-5
#: How that is split over the streams of a task type.
SHARES: Final = {"failed": 0.55, "retried": 0.15, "dead": 0.15, "slow": 0.15}
#: In words.
WORDS: Final = {
    "failed": "of the first runs fail",
    "retried": "of the tasks needed a retry",
    "dead": "of the tasks fail for good",
    "slow": "of the runs are slower than nine tenths on redis",
}
#: No stream is judged by fewer outcomes, nor compared with a smaller baseline.
LEAST_OUTCOMES: Final = 8
LEAST_BASELINE: Final = 50
#: After so many outcomes the count begins anew: thousands of good ones must not hide that it has become bad.
BLOCK: Final = 1000
#: A baseline that fails so often is broken itself, and so is everybody's in the last minutes, with enough tasks.
BROKEN: Final = 0.2
LEAST_RECENT: Final = 20
#: The first runs of a process are slow on every engine.
COLD: Final = 10


@dataclass(slots=True)
class Tally:
    """What was counted on Temporal since the guardrail was armed, by task type and stream."""

    types: dict[str, dict[str, Answers]] = field(default_factory=dict)
    cold: dict[str, int] = field(default_factory=dict)
    """Runs of each type whose duration is not judged."""

    @property
    def outcomes(self) -> int:
        return sum(streams["failed"].count for streams in self.types.values() if "failed" in streams)

    def add(self, run: Run, baseline: TypeBaseline | None) -> None:
        """Count one outcome; of a type without a baseline only that it is there."""
        answers = (baseline or TypeBaseline()).answers(run)
        if "slow" in answers and self.cold.get(run.task_type, 0) < COLD:
            self.cold[run.task_type] = self.cold.get(run.task_type, 0) + 1
            del answers["slow"]
        streams = self.types.setdefault(run.task_type, {})
        for name, yes in answers.items():
            before = streams.get(name, Answers())
            streams[name] = Answers(before.count + 1, before.yes + yes)


def compare(
    baselines: Mapping[str, TypeBaseline], tally: Tally, *, block: int = 1, beside: Mapping[str, Answers] | None = None
) -> Sight:
    """What the test says now.

    `block`: how often the count began anew (1: not yet). `beside`: first runs of other tenants' tasks on Redis in the
    last minutes, by type; None: nobody asked yet, and a regression is not final.
    """
    doubts: dict[str, str] = {}
    worst: tuple[float, Regression] | None = None
    for number, (task_type, baseline) in enumerate(baselines.items(), 1):
        streams = tally.types.get(task_type)
        if streams is None:
            continue
        for name, answers in streams.items():
            excess = _excess(baseline.streams.get(name, Answers()), answers, name, number, block, baseline.spread)
            if excess < 0:
                continue
            doubt = _doubt(task_type, name, baseline, answers, (beside or {}).get(task_type, Answers()))
            if doubt is not None:
                doubts[f"doubt:{task_type}"] = doubt
            elif worst is None or excess > worst[0]:
                worst = excess, _regression(task_type, name, baseline, answers, excess)
    return Sight(None if worst is None else worst[1], doubts)


def strangers(baselines: Mapping[str, TypeBaseline], tally: Tally) -> list[str]:
    """Task types of which Redis knew nothing, or too little: there is nothing to compare them with."""
    return [
        task_type
        for task_type in tally.types
        if task_type not in baselines or baselines[task_type].streams["failed"].count < LEAST_BASELINE
    ]


def _excess(before: Answers, after: Answers, name: str, number: int, block: int, spread: float) -> float:
    """By how much (log) the evidence exceeds what a verdict needs; negative: it does not."""
    if after.count < LEAST_OUTCOMES or before.count < LEAST_BASELINE or after.rate <= before.rate:
        return -math.inf
    # Shares of alpha that add up to one, however many types and blocks there will be.
    share = SHARES[name] * (6 / math.pi**2 / number**2) * 1 / (block * (block + 1))
    return log_e_value(before.count, before.yes, after.count, after.yes) / spread - math.log(1 / (ALPHA * share))


def _doubt(task_type: str, name: str, baseline: TypeBaseline, after: Answers, beside: Answers) -> str | None:
    """Why going back would not help."""
    if name == "slow":
        return None
    whole, recent = baseline.streams["failed"], baseline.recent
    for where, one in (("in the day before the move", whole), ("just before the move", recent)):
        if one.count >= LEAST_RECENT and one.rate > BROKEN:
            return (
                f"{task_type} fails on redis, too: {one.yes} of {one.count} {where}. Going back would not help, so"
                " nothing is rolled back; mend the handler first"
            )
    if beside.count >= LEAST_RECENT and beside.rate > BROKEN:
        return (
            f"{task_type} fails everywhere now: {beside.yes} of {beside.count} of other tenants on redis in the last"
            f" minutes, {after.yes} of {after.count} here. Going back would not help, so nothing is rolled back"
        )
    return None


def _regression(task_type: str, name: str, baseline: TypeBaseline, after: Answers, excess: float) -> Regression:
    before = baseline.streams[name]
    why = (
        f"{task_type}: {after.yes} of {after.count} ({after.rate:.0%}) {WORDS[name]} on temporal, on redis it were"
        f" {before.yes} of {before.count} ({before.rate:.1%})"
    )
    evidence: dict[str, Any] = {
        "task_type": task_type,
        "stream": name,
        "redis": {"outcomes": before.count, "yes": before.yes},
        "temporal": {"outcomes": after.count, "yes": after.yes},
        "spread": round(baseline.spread, 3),
        "alpha": ALPHA,
        "log_e_beyond_threshold": round(excess, 3),
    }
    return Regression(why, evidence)
