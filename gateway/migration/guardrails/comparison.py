"""Whether a tenant's tasks do worse on Temporal than on Redis: streams of yes and no, tested after each outcome."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.migration.guardrails.baseline import Run, TypeBaseline
from gateway.migration.guardrails.decision import Assessment, Regression
from gateway.migration.parity.eprocess import ALPHA, SMALLEST_BASELINE, Rate, Stream, threshold
from gateway.migration.parity.judgement import BROKEN

#: In words.
WORDS: Final = {
    Stream.FAILED: "of the first runs fail",
    Stream.RETRIED: "of the tasks need a retry",
    Stream.DEAD: "of the tasks fail for good",
    Stream.SLOWER: "of the runs are slower than nine tenths on redis",
}
#: No stream is judged by fewer outcomes: the first tasks of a process fail on every engine.
LEAST_OUTCOMES: Final = 8
#: The first runs of a process are slow on every engine, and processes start at any time.
LEAST_SLOW: Final = 40
COLD: Final = 10
#: After so many outcomes the count begins anew: thousands of good ones must not hide that it has become bad. The first
#: block has most of alpha, the others share the rest.
BLOCK: Final = 1000
FIRST_BLOCK: Final = 0.98
#: The first tasks after a move fail on every engine, too, because its processes have just started. So they never decide
#: alone: what came after them has to prove it as well, at this level. (Computed for 30,000 simulated moves to an engine
#: that does the same: 3.1 are taken back without this, 0.1 with it.)
FIRST: Final = 4
ALPHA_AFTER_FIRST: Final = 1e-3
#: Other tenants' tasks usually fail less often than this.
EVERYWHERE: Final = 0.1
LEAST_RECENT: Final = 20


@dataclass(slots=True)
class Tally:
    """What was counted on Temporal since the guardrail was armed, by type and stream: answers, those of yes, and those
    of yes among the first."""

    types: dict[str, dict[Stream, list[int]]] = field(default_factory=dict)
    cold: dict[str, int] = field(default_factory=dict)
    """Runs of each type whose duration is not judged."""

    @property
    def outcomes(self) -> int:
        return sum(streams[Stream.FAILED][0] for streams in self.types.values() if Stream.FAILED in streams)

    def add(self, run: Run, baseline: TypeBaseline | None) -> None:
        """Count one outcome; of a type without a baseline only that it is there."""
        streams = self.types.setdefault(run.task_type, {})
        for stream, is_yes in (baseline or TypeBaseline()).answers(run):
            if stream is Stream.SLOWER and self.cold.get(run.task_type, 0) < COLD:
                self.cold[run.task_type] = self.cold.get(run.task_type, 0) + 1
                continue
            counted = streams.setdefault(stream, [0, 0, 0])
            counted[0] += 1
            counted[1] += is_yes
            if counted[0] <= FIRST:
                counted[2] += is_yes


def compare(
    baselines: Mapping[str, TypeBaseline], tally: Tally, *, block: int = 1, aside: Container[str] = ()
) -> Assessment:
    """What the test says now. `block`: how often the count began anew (1: not yet); types `aside` do not count."""
    doubts: dict[str, str] = {}
    worst: tuple[float, Regression] | None = None
    for task_type, streams in tally.types.items():
        baseline = baselines.get(task_type)
        if baseline is None or task_type in aside:
            continue
        for stream, (asked, yes, first_yes) in streams.items():
            excess = _excess(baseline, stream, Rate(asked, yes), first_yes, len(baselines), block)
            if excess < 0:
                continue
            doubt = None if stream is Stream.SLOWER else _broken(task_type, baseline)
            if doubt is not None:
                doubts[f"doubt:{task_type}"] = doubt
            elif worst is None or excess > worst[0]:
                worst = excess, _regression(task_type, stream, baseline, Rate(asked, yes), excess)
    return Assessment(None if worst is None else worst[1], doubts=doubts)


def strangers(baselines: Mapping[str, TypeBaseline], tally: Tally) -> list[str]:
    """Task types that have hardly run on Redis: there is nothing to compare them with."""
    return [
        task_type
        for task_type in tally.types
        if task_type not in baselines or baselines[task_type].failed.asked < SMALLEST_BASELINE
    ]


def share_of(block: int) -> float:
    """The part of alpha that a block has; all of them together have all of it."""
    return FIRST_BLOCK if block == 1 else (1 - FIRST_BLOCK) / (block * (block - 1))


def _excess(baseline: TypeBaseline, stream: Stream, seen: Rate, first_yes: int, types: int, block: int) -> float:
    """By how much (log) the evidence exceeds what a verdict needs; negative: it does not."""
    before = baseline.rates.get(stream)
    least = LEAST_SLOW if stream is Stream.SLOWER else LEAST_OUTCOMES
    if seen.asked < least or before is None or before.asked < SMALLEST_BASELINE or seen.part <= before.part:
        return -math.inf
    test, spread = baseline.test(stream), baseline.spreads.get(stream, 1.0)
    excess = test.log_e(seen) / spread - threshold(stream, types) + math.log(share_of(block))
    if excess < 0:
        return excess
    later = Rate(seen.asked - FIRST, seen.yes - first_yes)
    return min(excess, test.log_e(later) / spread - threshold(stream, types, alpha=ALPHA_AFTER_FIRST))


def fails_everywhere(task_type: str, beside: Rate | None, part: float) -> str | None:
    """Why a part of failures is no matter of the engine: other tenants' tasks of that type fail on Redis, too."""
    if beside is None or beside.asked < LEAST_RECENT or beside.part <= max(EVERYWHERE, part / 2):
        return None
    return (
        f"{task_type} fails everywhere now: {beside.yes} of {beside.asked} of other tenants on redis within a minute."
        " Going back would not help, so nothing is rolled back, and this time does not count"
    )


def _broken(task_type: str, baseline: TypeBaseline) -> str | None:
    """Why going back would not help: it was no better there."""
    for where, one in (("in the day before the move", baseline.failed), ("just before the move", baseline.recent)):
        if one.asked >= LEAST_RECENT and one.part > BROKEN:
            return (
                f"{task_type} failed on redis, too: {one.yes} of {one.asked} {where}. Going back would not help, so"
                " nothing is rolled back; mend the handler first"
            )
    return None


def _regression(task_type: str, stream: Stream, baseline: TypeBaseline, after: Rate, excess: float) -> Regression:
    before = baseline.rates[stream]
    why = (
        f"{task_type}: {after.yes} of {after.asked} {WORDS[stream]} on temporal ({after.part:.0%}), on redis it was"
        f" {before.yes} of {before.asked} ({before.part:.1%})"
    )
    evidence: dict[str, Any] = {
        "task_type": task_type,
        "stream": stream.value,
        "redis": {"asked": before.asked, "yes": before.yes},
        "temporal": {"asked": after.asked, "yes": after.yes},
        "spread": baseline.spreads.get(stream, 1.0),
        "alpha": ALPHA,
        "log_e_beyond_threshold": round(excess, 3),
    }
    return Regression(why, task_type, after.part, evidence)
