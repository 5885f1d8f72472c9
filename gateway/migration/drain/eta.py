"""How long Redis takes to run what it has: a fluid model of groups, tenants and slots. Pure.

The wire runs one task of a group at a time, so a group with much work is a chain that no further slot shortens. Slots
that groups wait for are shared equally: among tenants that have work, then among the groups of each. Where legacy
workers take part, who know no tenants, among all groups.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

#: Of the normal distribution: between -Z and Z lie nine of ten values.
Z = 1.645
#: What comes meanwhile is added again and again; a drain whose end is not found by then has none.
_ROUNDS = 60
#: Many chains are soon added up: lengths are rounded to powers of this, and more tenants than that count as one.
_GRID, _MOST_TENANTS = 1.01, 50
#: A drain that takes longer has no end worth naming (seconds).
LONGEST = 366 * 86400.0


@dataclass(frozen=True, slots=True)
class Runs:
    """How long runs of a type took: how many there were, their mean and their variance, in seconds."""

    count: int
    mean: float
    variance: float = 0.0

    @classmethod
    def together(cls, parts: Iterable[Runs]) -> Runs:
        """Of several types."""
        known = [part for part in parts if part.count]
        count = sum(part.count for part in known)
        if not count:
            return cls(0, 0.0)
        mean = sum(part.count * part.mean for part in known) / count
        squares = sum(part.count * (part.variance + part.mean**2) for part in known) / count
        return cls(count, mean, max(squares - mean**2, 0.0))


@dataclass(slots=True)
class Chain:
    """The tasks of one group, by type.

    `elapsed`: seconds for which its running task has run; `not_before`: seconds until the last of its tasks may begin;
    `arrivals`: tasks a second that come to it, by type.
    """

    tenant_id: str | None
    group_id: str
    tasks: dict[str, int] = field(default_factory=dict)
    elapsed: float = 0.0
    not_before: float = 0.0
    arrivals: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be run, and by what.

    `runs` by task type; `overhead`: seconds between two runs of a group; `most` limits how many tasks of a tenant run
    at once (its quota); `knows_tenants`: all workers let tenants take turns.
    """

    chains: Sequence[Chain]
    runs: Mapping[str, Runs]
    slots: int
    overhead: float = 0.0
    most: Mapping[str | None, int] = field(default_factory=dict)
    knows_tenants: bool = True


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds to the end, and an interval that holds nine ends of ten."""

    seconds: float
    low: float
    high: float


class NoEstimate(ValueError):
    """Why nobody can say when it ends; `others` are the tenants of whom it is known all the same."""

    def __init__(self, why: str, others: Mapping[str | None, Estimate] | None = None) -> None:
        super().__init__(why)
        self.others = dict(others or {})


@dataclass(slots=True)
class _Load:
    """A chain as the model sees it: seconds of work, their variance, and seconds of work that come each second."""

    tenant_id: str | None
    work: float
    arriving: float
    variance: float
    tasks: float
    not_before: float


def estimate(work: Work) -> dict[str | None, Estimate]:
    """The end of each tenant's work, and, under the key `ALL`, of everybody's. Raises `NoEstimate`."""
    everything = Runs.together(work.runs.values())
    loads = [_load(chain, work, everything) for chain in work.chains]
    if not any(load.work > 0 or load.not_before > 0 for load in loads):
        return {}
    if work.slots <= 0:
        raise NoEstimate("no worker serves Redis")
    ends = _settled(loads, work)
    if ends is not None:
        return _with_intervals(ends, loads, work)
    # Beside a backlog that grows for good, those to whom nothing comes have their share and end.
    growing = {ALL, *(load.tenant_id for load in loads if load.arriving)}
    ends = _ends([(load.tenant_id, load.work + load.arriving * LONGEST) for load in loads], work)
    others = {tenant: end for tenant, end in ends.items() if tenant not in growing}
    raise NoEstimate("as much comes as goes, or more", _with_intervals(others, loads, work))


ALL = "\0all"


def _load(chain: Chain, work: Work, everything: Runs) -> _Load:
    """Of a type that nobody knows, runs take as long as those of all types together."""

    def of(kind: str) -> Runs:
        found = work.runs.get(kind)
        return found if found is not None and found.count else everything

    if chain.tasks and not everything.count:
        raise NoEstimate("no task has ended on Redis lately, so nobody knows how long one takes")
    seconds = sum(count * (of(kind).mean + work.overhead) for kind, count in chain.tasks.items())
    longest = max((of(kind).mean for kind, count in chain.tasks.items() if count), default=0.0)
    variance = sum(
        count * of(kind).variance + (count**2) * of(kind).variance / of(kind).count
        for kind, count in chain.tasks.items()
    )
    arriving = sum(rate * (of(kind).mean + work.overhead) for kind, rate in chain.arrivals.items())
    left = max(seconds - min(chain.elapsed, longest), 0.0)
    last = chain.not_before + longest + work.overhead if chain.not_before > 0 else 0.0
    return _Load(chain.tenant_id, left, arriving, variance, float(sum(chain.tasks.values())), last)


def _settled(loads: Sequence[_Load], work: Work) -> dict[str | None, float] | None:
    """With what comes until then: it lengthens the drain, and more comes meanwhile. None: without end."""
    span = 0.0
    for _ in range(_ROUNDS):
        ends = _ends([(load.tenant_id, load.work + load.arriving * span) for load in loads], work)
        for load in loads:
            for key in (load.tenant_id, ALL):
                ends[key] = max(ends.get(key, 0.0), load.not_before)
        before, span = span, ends[ALL]
        if abs(span - before) <= 0.01 * span:
            return ends
        if span > LONGEST:
            break
    return None


def _ends(chains: Sequence[tuple[str | None, float]], work: Work) -> dict[str | None, float]:
    """When each tenant's last chain ends, and everybody's. All run at once, each at the speed of its share."""
    in_turn = work.knows_tenants and len({tenant for tenant, _ in chains}) <= _MOST_TENANTS
    waiting: dict[object, list[tuple[float, str | None]]] = defaultdict(list)
    for tenant, seconds in chains:
        if seconds > 0:
            waiting[tenant if in_turn else ALL].append((_GRID ** round(math.log(seconds, _GRID)), tenant))
    for found in waiting.values():
        found.sort(key=lambda chain: chain[0], reverse=True)
    now = 0.0
    done: dict[object, float] = dict.fromkeys(waiting, 0.0)
    """How far each chain of a tenant has come: all of them go at the same speed."""
    ends: dict[str | None, float] = {ALL: 0.0}
    while waiting:
        speeds = _speeds({key: len(found) for key, found in waiting.items()}, work)
        step = min((found[-1][0] - done[key]) / speeds[key] for key, found in waiting.items())
        now += step
        for key in list(waiting):
            found = waiting[key]
            done[key] += step * speeds[key]
            while found and found[-1][0] <= done[key] * (1 + 1e-9) + 1e-9:
                _, tenant = found.pop()
                ends[tenant] = ends[ALL] = now
            if not found:
                del waiting[key]
    return ends


def _speeds(chains: Mapping[object, int], work: Work) -> dict[object, float]:
    """The share of a slot that each chain of a tenant has: filled up evenly, nobody beyond what it can use."""
    room = {key: float(min(count, work.most.get(key, count))) for key, count in chains.items()}  # type: ignore[call-overload]
    slots, share = float(work.slots), {}
    for place, key in enumerate(sorted(room, key=room.__getitem__)):
        share[key] = min(room[key], slots / (len(room) - place))
        slots -= share[key]
    return {key: max(share[key], 1e-9) / chains[key] for key in chains}


def _with_intervals(ends: Mapping[str | None, float], loads: Sequence[_Load], work: Work) -> dict[str | None, Estimate]:
    of_tenant: dict[str | None, list[_Load]] = defaultdict(list)
    for load in loads:
        of_tenant[load.tenant_id].append(load)
    return {tenant: _interval(end, loads if tenant == ALL else of_tenant[tenant], work) for tenant, end in ends.items()}


def _interval(end: float, its: Sequence[_Load], work: Work) -> Estimate:
    """What is left is so many runs, of which each takes about its mean, and the mean is known from so many runs."""
    total = sum(load.work for load in its)
    if total <= 0:
        return Estimate(end, end, end)
    # Either the longest chain decides, or all of them together.
    longest = max(its, key=lambda load: load.work)
    decides = [longest] if longest.work >= 0.9 * total / max(work.slots, 1) and longest.work >= 0.8 * end else its
    part = sum(load.work for load in decides)
    spread = Z * math.sqrt(sum(load.variance for load in decides)) / part if part else 0.0
    return Estimate(end, end * max(1 - spread, 0.0), end * (1 + spread))
