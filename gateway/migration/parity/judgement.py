"""`judge`: one task type of a tenant on the new engine against its own past on the old one, in words to act on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from gateway.migration.command import command
from gateway.migration.parity.eprocess import (
    ALPHA,
    DOUBT,
    SMALLEST_BASELINE,
    EProcess,
    Rate,
    Stream,
    share_of_count,
    still_needed,
    threshold,
    upper_bound,
)
from gateway.migration.parity.evidence import Counts
from gateway.migration.parity.streams import NOTICEABLE, TOLERANCE, rate_of


class ParityVerdict(StrEnum):
    """Verdict of a comparison.

    `pass`: nothing has become worse by more than is tolerated. `regress`: something is worse, and not by chance.
    `inconclusive`: not known yet, or something else explains it. `no_data`: there is nothing to compare. Only `pass`
    allows a move to continue.
    """

    PASS = "pass"
    REGRESS = "regress"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no_data"


#: How many of all tasks more than before may answer yes without it being called worse.
TOLERATED: Final = MappingProxyType({Stream.FAILED: 0.05, Stream.RETRIED: 0.05, Stream.DEAD: 0.05, Stream.SLOWER: 0.15})
#: A baseline of which more failed, or died, is broken itself.
BROKEN: Final = 0.2

NOTHING: Final = Counts()

_WORDS: Final = MappingProxyType(
    {
        Stream.FAILED: "failed at their first run",
        Stream.RETRIED: "had to be repeated",
        Stream.DEAD: "failed for good",
        Stream.SLOWER: "ran slower than nine of ten did before",
    }
)


@dataclass(frozen=True, slots=True)
class Sides:
    """One task type: the tenant before its move and since, and others that stayed, in the same minutes.

    `halves` are the baseline's even and odd slices: the old engine against itself.
    """

    task_type: str
    before: Counts
    since: Counts
    halves: tuple[Counts, Counts] = (NOTHING, NOTHING)
    others_before: Counts = NOTHING
    others_since: Counts = NOTHING


@dataclass(frozen=True, slots=True)
class Finding:
    """One stream. `log_e` and `needed` are natural logarithms; `upper` is the highest rate that is not contradicted."""

    stream: Stream
    before: Rate
    since: Rate
    log_e: float
    needed: float
    upper: float
    tolerated: float
    halves: tuple[Rate, Rate]
    others_before: Rate
    others_since: Rate

    @property
    def is_worse(self) -> bool:
        return self.log_e >= self.needed

    @property
    def is_as_good(self) -> bool:
        return self.upper <= self.tolerated

    @property
    def is_noise(self) -> bool:
        """Whether the old engine differs from itself as much."""
        even, odd = self.halves
        return max(EProcess(even).log_e(odd), EProcess(odd).log_e(even)) >= self.needed

    @property
    def is_everywhere(self) -> bool:
        """Whether those who stayed became worse, too, by at least half as much."""
        rise = self.others_since.part - self.others_before.part
        is_worse = EProcess(self.others_before).log_e(self.others_since) >= self.needed
        return is_worse and rise >= (self.since.part - self.before.part) / 2


@dataclass(frozen=True, slots=True)
class Judgement:
    """`reasons`: each a line that says what to do."""

    verdict: ParityVerdict
    reasons: list[str]
    findings: list[Finding] = field(default_factory=list)


def judge(sides: Sides, *, tenant_id: str, old: str, new: str, task_types: int, recounts: int = 0) -> Judgement:
    """`task_types`: in how many the tenant is watched, which share alpha; `recounts`: how often the count was begun
    anew."""
    share = share_of_count(recounts)
    findings = _findings(sides, task_types, share)
    before, since, what = sides.before, sides.since, sides.task_type
    if not since.ended and not since.over:
        return Judgement(
            ParityVerdict.NO_DATA, [f"{what}: nothing has ended on {new} yet; send a task, or wait"], findings
        )
    if not before.ended and not before.over:
        why = f"{what}: seen for the first time, nothing of it ended on {old} before the move; compare by hand"
        return Judgement(ParityVerdict.NO_DATA, [why], findings)
    if before.first < SMALLEST_BASELINE:
        why = f"{what}: only {before.first} tasks ended on {old} before the move, {SMALLEST_BASELINE} are needed"
        return Judgement(
            ParityVerdict.INCONCLUSIVE, [f"{why}; compare by hand, or move back and wait for more"], findings
        )
    worse = [finding for finding in findings if finding.is_worse]
    if worse:
        return _worse(worse, findings, what, tenant_id, old, new)
    broken = Rate(before.first, before.failed).part > BROKEN or Rate(before.over, before.dead).part > BROKEN
    if broken:
        failed = _said(Rate(before.first, before.failed))
        why = f"{what}: the baseline is broken itself, {failed} failed on {old} before the move; mend that first"
        return Judgement(ParityVerdict.INCONCLUSIVE, [why], findings)
    open_ = [finding for finding in findings if not finding.is_as_good]
    if open_:
        return Judgement(ParityVerdict.INCONCLUSIVE, _not_yet(open_, what, new, DOUBT * share), findings)
    failed, failed_before = _said(Rate(since.first, since.failed)), _said(Rate(before.first, before.failed))
    why = f"{what}: as good on {new} as on {old}: {failed} failed at their first run, {failed_before} before"
    return Judgement(ParityVerdict.PASS, [why], findings)


def worst(verdicts: Sequence[ParityVerdict]) -> ParityVerdict:
    """Of several task types: one that is worse decides, and only if all are as good, all is."""
    order = (ParityVerdict.REGRESS, ParityVerdict.INCONCLUSIVE, ParityVerdict.NO_DATA, ParityVerdict.PASS)
    return next((verdict for verdict in order if verdict in verdicts), ParityVerdict.NO_DATA)


def _findings(sides: Sides, task_types: int, share: float) -> list[Finding]:
    bucket = sides.before.slow_bucket(TOLERANCE, NOTICEABLE)
    found = []
    for stream in Stream:
        before, since = rate_of(sides.before, stream, bucket), rate_of(sides.since, stream, bucket)
        even, odd = (rate_of(half, stream, bucket) for half in sides.halves)
        found.append(
            Finding(
                stream,
                before,
                since,
                EProcess(before).log_e(since),
                threshold(stream, task_types, alpha=ALPHA * share),
                upper_bound(since, doubt=DOUBT * share),
                min(before.part + TOLERATED[stream], 1.0),
                (even, odd),
                rate_of(sides.others_before, stream, bucket),
                rate_of(sides.others_since, stream, bucket),
            )
        )
    return found


def _worse(
    worse: Sequence[Finding], findings: list[Finding], what: str, tenant_id: str, old: str, new: str
) -> Judgement:
    certain, doubtful = [], []
    for finding in worse:
        seen = (
            f"{what}: {_said(finding.since)} {_WORDS[finding.stream]} on {new}, {_said(finding.before)} on {old} before"
        )
        if finding.is_noise:
            doubtful.append(f"{seen}; but {old} differs from itself as much, minute by minute: find out why first")
        elif finding.is_everywhere:
            doubtful.append(f"{seen}; but tenants that stayed on {old} became worse, too: look for what they share")
        else:
            act = f"see taskgate dead-letter list --tenant {shlex.quote(tenant_id)}"
            back = f"take it back with {command('flags set', tenant=tenant_id, stage='off')}"
            certain.append(f"{seen}, which is no chance: {act}, and {back}")
    verdict = ParityVerdict.REGRESS if certain else ParityVerdict.INCONCLUSIVE
    return Judgement(verdict, certain or doubtful, findings)


def _not_yet(findings: Sequence[Finding], what: str, new: str, doubt: float) -> list[str]:
    """Streams that more tasks do not settle, else how many tasks settle all of them."""
    stuck, most = [], 1
    for finding in findings:
        more = still_needed(finding.since, finding.tolerated, doubt=doubt)
        if more is None:
            limit = f"more than the {finding.tolerated:.0%} that pass, and too few to call it worse"
            stuck.append(
                f"{what}: {_said(finding.since)} {_WORDS[finding.stream]} on {new}, {limit}; hold, and look why"
            )
        else:
            most = max(most, more)
    return stuck or [f"{what}: nothing is worse on {new} so far; about {most:,} more tasks are needed to say so"]


def _said(rate: Rate) -> str:
    """E.g. `12 of 40 (30%)`."""
    return f"{rate.yes:,} of {rate.asked:,} ({rate.part:.1%})"
