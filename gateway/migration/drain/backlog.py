"""What is bound for Redis: what PostgreSQL knows, routed as the dispatcher would, and what Redis itself holds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from backends.port import Place, Stock
from gateway.ingress.foreign import Foreign
from gateway.migration.drain.eta import Chain, Runs
from gateway.migration.drain.verdict import Counts
from gateway.routing.query import RouteQuery
from gateway.routing.router import Route
from gateway.routing.stages import REDIS, allows
from gateway.storage.database import Database
from gateway.storage.queries import Queries

SQL = Queries("gateway.migration.drain", "drain.sql")
#: A row of PostgreSQL, or a mapping like it.
Row = Any

#: Rates are averages over so many seconds.
RATE_SECONDS = 300.0
#: How long a run takes is taken from the newest of so many seconds, and so many at most.
RUN_SECONDS, MOST_RUNS = 3600.0, 5000
#: Tasks that one legacy worker process runs at once (contract §5).
LEGACY_SLOTS = 20

_FIELD = {
    "queued": "queued",
    "waiting": "queued",
    "running": "running",
    "legacy": "on_legacy_workers",
    "quota": "held_by_quota",
    "paused": "held_by_pause",
    "retrying": "retrying",
    "delayed": "delayed",
}
_HERE = frozenset({"waiting", "quota", "paused", "retrying", "delayed"})


@dataclass(frozen=True, slots=True)
class Rows:
    """What PostgreSQL said, each by the block of `drain.sql` with its name."""

    open_tasks: list[Row]
    foreign_rows: list[Row]
    schedules: list[Row]
    arrivals: list[Row]
    runs: list[Row]
    workers: Row
    quotas: list[Row]
    payloads_set_aside: list[Row]
    tenants: list[Row]


@dataclass(slots=True)
class Share:
    """What of one tenant is bound for Redis."""

    counts: Counts = field(default_factory=Counts)
    chains: dict[str, Chain] = field(default_factory=dict)
    waits_here: bool = False
    past_gateway_at: datetime | None = None
    next_firing_at: datetime | None = None
    set_aside_before: int = 0
    """Payloads that stand among the dead letters already; they are not in Redis any more."""
    in_postgresql: int = 0
    """Rows that PostgreSQL has of them."""
    foreign_held: int = 0
    """Payloads past the gateway that legacy workers have."""
    adopted_held: int = 0
    """Those that workers of the gateway's own have, or had: PostgreSQL knows them once they are claimed."""
    came: int = 0
    ended: int = 0


@dataclass(slots=True)
class Backlog:
    """By tenant; None: nobody's. `slots`: tasks that run at once on Redis; `is_legacy`: also on legacy workers."""

    shares: dict[str | None, Share]
    runs: dict[str, Runs]
    overhead: float
    slots: int
    is_legacy: bool
    most: dict[str | None, int]
    redis_payloads: int


async def read(database: Database) -> Rows:
    """Ask PostgreSQL. Raises `DatabaseUnavailable`."""
    names = {
        "open_tasks": (),
        "foreign_rows": (),
        "schedules": (),
        "arrivals": (RATE_SECONDS,),
        "runs": (RUN_SECONDS, MOST_RUNS, RATE_SECONDS),
        "workers": (RATE_SECONDS,),
        "quotas": (),
        "payloads_set_aside": (),
        "tenants": (),
    }
    found = await asyncio.gather(*(database.fetch(getattr(SQL, name), *given) for name, given in names.items()))
    answers: dict[str, Any] = dict(zip(names, found, strict=True))
    return Rows(**{**answers, "workers": answers["workers"][0]})


def assemble(
    rows: Rows, stocks: Iterable[Stock], foreign: Iterable[Foreign], route: Callable[[RouteQuery], Route]
) -> Backlog:
    """Put it together. `route` is asked once for each kind of task that is not routed yet."""
    shares: dict[str | None, Share] = defaultdict(Share)
    routes: dict[RouteQuery, Route] = {}

    def goes_to_redis(row: Row, wanted: str | None = None) -> bool:
        query = query_of(row)
        found = routes.get(query) or routes.setdefault(query, route(query))
        if wanted is not None and allows(found.stage, wanted):
            return wanted == REDIS
        return found.backend == REDIS

    for row in rows.open_tasks:
        if row["kind"] not in _HERE or goes_to_redis(row, row["wanted_backend"]):
            _add_open(shares[row["tenant_id"]], row)
    for one in foreign:
        _add_foreign(shares[one.tenant_id], one)
    for row in rows.foreign_rows:
        share = shares[row["tenant_id"]]
        share.in_postgresql += row["tasks"]
        # Most of them are the payloads that were counted in Redis.
        if row["runs"]:
            share.counts.on_legacy_workers += max(row["tasks"] - share.foreign_held, 0)
        else:
            share.counts.past_gateway = max(share.counts.past_gateway, row["tasks"])
    for share in shares.values():
        share.counts.running = max(share.counts.running, share.adopted_held)
    for row in rows.schedules:
        if goes_to_redis(row):
            share = shares[row["tenant_id"]]
            share.counts.schedules += row["schedules"]
            share.next_firing_at = min(filter(None, (share.next_firing_at, row["next_at"])))
    for row in rows.arrivals:
        if row["is_foreign"] or goes_to_redis(row):
            share = shares[row["tenant_id"]]
            share.came += row["tasks"]
            chain = _chain(share, row["tenant_id"], row["group_id"])
            chain.arrivals[row["task_type"]] = chain.arrivals.get(row["task_type"], 0.0) + row["tasks"] / RATE_SECONDS
    for row in rows.payloads_set_aside:
        shares[row["tenant_id"]].set_aside_before += row["payloads"]
    for row in rows.runs:
        shares[row["tenant_id"]].ended += row["lately"]
    legacy = rows.workers["legacy"]
    return Backlog(
        dict(shares),
        _runs(rows.runs),
        max((row["overhead"] or 0.0 for row in rows.runs), default=0.0),
        rows.workers["slots"] + LEGACY_SLOTS * legacy,
        legacy > 0,
        {row["tenant_id"]: row["running"] for row in rows.quotas},
        sum(stock.tasks for stock in stocks),
    )


def query_of(row: Row) -> RouteQuery:
    """What routing is asked about tasks of this kind."""
    return RouteQuery(row["tenant_id"], row["task_type"] or "", "", row["project_id"], plan=row["plan"])


def _add_open(share: Share, row: Row) -> None:
    name = _FIELD[row["kind"]]
    setattr(share.counts, name, getattr(share.counts, name) + row["tasks"])
    share.in_postgresql += row["tasks"]
    share.waits_here |= row["kind"] in _HERE
    if row["kind"] == "paused":
        return  # it does not run, however long one waits
    chain = _chain(share, row["tenant_id"], row["group_id"])
    chain.tasks[row["task_type"]] = chain.tasks.get(row["task_type"], 0) + row["tasks"]
    chain.elapsed = max(chain.elapsed, row["elapsed"])
    if row["kind"] in ("retrying", "delayed"):
        chain.not_before = max(chain.not_before, row["later"])


def _add_foreign(share: Share, one: Foreign) -> None:
    counts = share.counts
    if one.place is Place.SET_ASIDE:
        counts.set_aside += one.tasks
        return
    if one.place is Place.HELD:
        share.adopted_held += one.tasks
        return
    if one.last_at is not None:
        share.past_gateway_at = max(filter(None, (share.past_gateway_at, one.last_at)))
    if one.place is Place.HELD_ELSEWHERE:
        counts.on_legacy_workers += one.tasks
        share.foreign_held += one.tasks
    else:
        counts.past_gateway += one.tasks
    chain = _chain(share, one.tenant_id, one.group_id or "")
    chain.tasks[one.task_type] = chain.tasks.get(one.task_type, 0) + one.tasks


def _chain(share: Share, tenant_id: str | None, group_id: str) -> Chain:
    return share.chains.setdefault(group_id, Chain(tenant_id, group_id))


def _runs(rows: Iterable[Row]) -> dict[str, Runs]:
    """Of all tenants: how long a type takes is the type's."""
    parts: dict[str, list[Runs]] = defaultdict(list)
    for row in rows:
        parts[row["task_type"]].append(Runs(row["ended"], row["mean"], row["variance"]))
    return {kind: Runs.together(found) for kind, found in parts.items()}
