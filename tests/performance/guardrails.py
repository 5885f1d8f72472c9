"""(l) Guardrails on a virtual clock, through their own code: false alarms, how soon a bad engine is left, swings."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from gateway.migration.guardrails.guard import COOLDOWNS
from tests.performance.guardrail_simulation import oscillating, percentile, tasks_until_found, unchanged

#: Moves to an engine that does exactly the same, and outcomes that are judged of each at most.
MOVES = int(os.environ.get("BENCH_MOVES", "30000"))
OUTCOMES = int(os.environ.get("BENCH_OUTCOMES", "400"))
#: Moves to an engine that fails (tests/unit computes the same exactly), and to one that oscillates.
TRIALS = int(os.environ.get("BENCH_TRIALS", "1000"))
OSCILLATING = int(os.environ.get("BENCH_OSCILLATING", "60"))
CHUNK = 20


def false_alarm(seed: int) -> tuple[bool, int]:
    """Whether a move to the same engine is taken back, and how many outcomes said so."""
    watched = unchanged(seed, most=OUTCOMES)
    return bool(watched.rolled_back), watched.since.tally.outcomes


def too_soon(seed: int) -> int:
    """How many automatic changes come within the cooldown of the one before, of an engine that oscillates."""
    period = timedelta(minutes=1 + seed % 60)
    watched = oscillating(seed, period=period, impatience=timedelta(seconds=30 * (seed % 7)))
    gaps = [later - before for before, later in pairwise(watched.rolled_back)]
    return sum(gap < cooldown for gap, cooldown in zip(gaps, COOLDOWNS, strict=False))


async def run() -> dict[str, Any]:
    with ProcessPoolExecutor() as pool:
        alarms = list(pool.map(false_alarm, range(MOVES), chunksize=CHUNK))
        found = {
            failing: list(pool.map(partial(tasks_until_found, failing=failing), range(TRIALS), chunksize=CHUNK))
            for failing in (0.5, 0.2)
        }
        oscillated = list(pool.map(too_soon, range(OSCILLATING)))
    wrong = [seed for seed, (is_alarm, _) in enumerate(alarms) if is_alarm]
    assert not wrong, f"taken back from an engine that does the same: seeds {wrong}"
    assert not sum(oscillated), f"changes within a cooldown: seeds {[n for n, soon in enumerate(oscillated) if soon]}"
    return {
        "guardrails": {
            "moves": MOVES,
            "outcomes": sum(count for _, count in alarms),
            "false_rollbacks": 0,
            "changes_within_a_cooldown": 0,
            **{
                f"found_at_{failing:.0%}": {
                    "median": percentile(tasks, 50),
                    "p95": percentile(tasks, 95),
                    "trials": len(tasks),
                }
                for failing, tasks in found.items()
            },
        }
    }
