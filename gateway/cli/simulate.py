"""`taskgate simulate`: what a fleet of any size would do with a workload."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.access.placement import Tier
from gateway.cli.given import refuse
from gateway.cli.output import AsJson, fail, print_json
from gateway.cli.table import table
from gateway.errors import InvalidRequest
from gateway.simulation.report import Report
from gateway.simulation.workload import Arrival, Distribution, read_trace

if TYPE_CHECKING:
    from gateway.simulation.cells import CellReport

#: How tenants and slots are shared out when only their total is given.
_TENANT_SHARES = {Tier.ENTERPRISE: 0.025, Tier.VIP: 0.1}
_SLOT_SHARES = {"A": 0.2, "B": 0.3}


def simulate(
    context: typer.Context,
    trace: Annotated[
        Path | None, typer.Option("--trace", help="File with recorded tasks as JSON lines, see docs/workers.md")
    ] = None,
    tasks: Annotated[int, typer.Option("--tasks", min=1, max=10**8, help="Number of random tasks")] = 200_000,
    tenants: Annotated[
        int, typer.Option("--tenants", min=1, help="Number of tenants; 2.5 % of them enterprise, 10 % VIP")
    ] = 2000,
    slots: Annotated[
        int, typer.Option("--slots", min=3, help="Number of slots: 20 % for pool A, 30 % for B, the rest for C")
    ] = 10_000,
    pool: Annotated[list[str] | None, typer.Option("--pool", help="Slots of one pool, e.g. A=2000; repeatable")] = None,
    load: Annotated[float, typer.Option("--load", min=0.01, max=10, help="Load: arriving work divided by slots")] = 0.8,
    median: Annotated[
        float, typer.Option("--median-seconds", min=0.001, help="Median duration of a run, in seconds")
    ] = 2.0,
    dispatch_ms: Annotated[
        float, typer.Option("--dispatch-ms", min=0, help="Time of a dispatch at light load, in milliseconds")
    ] = 20.0,
    unfair: Annotated[
        bool, typer.Option("--without-fairness", help="Simulate without fairness keys, for comparison")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random tasks")] = 0,
    cells: Annotated[
        int, typer.Option("--cells", min=1, max=1000, help="Simulate the same fleet divided into this many cells, too")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Simulate worker pools on a virtual clock: waits per tier, use of the slots, fairness."""
    if trace is not None:
        refuse(
            context, "tasks", "tenants", "load", "median", "seed", says="is of random tasks; leave it or --trace out"
        )
    began = time.perf_counter()
    sizes = _sizes(slots, pool or [])
    try:
        if trace is not None:
            arrivals: Iterable[Arrival] = read_trace(trace.read_text(encoding="utf-8").splitlines())
        else:
            shares = {tier: max(1, round(tenants * share)) for tier, share in _TENANT_SHARES.items()}
            counts = {**shares, Tier.STANDARD: max(1, tenants - sum(shares.values()))}
            arrivals = Distribution(tasks, counts, load, median, seed=seed).arrivals(sizes)
        if cells > 1:
            arrivals = list(arrivals)
        report = run(arrivals, sizes, dispatch_seconds=dispatch_ms / 1000, fair=not unfair)
        divided = _divide(arrivals, sizes, cells, dispatch_ms / 1000, fair=not unfair)
    except (InvalidRequest, OSError, UnicodeDecodeError) as error:
        fail(str(error), code=2)
    if as_json:
        print_json(_document(report) | ({"cells": [asdict(one) for one in divided]} if divided else {}))
    else:
        typer.echo(_text(report, sizes, time.perf_counter() - began))
        if divided:
            typer.echo(_cells_text(divided))


def run(arrivals: Iterable[Arrival], sizes: dict[str, int], *, dispatch_seconds: float, fair: bool = True) -> Report:
    """Simulate; what it imports is not needed by any other command."""
    from gateway.simulation.fleet import Simulation

    return Simulation(sizes, dispatch_seconds=dispatch_seconds, fair=fair).run(arrivals)


def _divide(
    arrivals: Iterable[Arrival], sizes: dict[str, int], cells: int, dispatch_seconds: float, *, fair: bool
) -> list[CellReport]:
    if cells == 1 or not isinstance(arrivals, list) or not arrivals:
        return []
    from gateway.simulation.cells import in_cells

    return in_cells(arrivals, sizes, cells, dispatch_seconds=dispatch_seconds, fair=fair)


def _sizes(slots: int, chosen: list[str]) -> dict[str, int]:
    shares = {pool: max(1, round(slots * share)) for pool, share in _SLOT_SHARES.items()}
    sizes = {**shares, "C": max(1, slots - sum(shares.values()))}
    for text in chosen:
        name, _, count = text.partition("=")
        if name not in sizes or not count.isdigit() or not int(count):
            raise typer.BadParameter(f"{text!r} is not like A=2000; pools are {', '.join(sizes)}", param_hint="--pool")
        sizes[name] = int(count)
    return sizes


def _document(report: Report) -> dict[str, Any]:
    content = asdict(report)
    del content["mean_by_tenant"]
    return content


def _text(report: Report, sizes: dict[str, int], took: float) -> str:
    use = ", ".join(f"{name} {share:.0%} of {sizes[name]}" for name, share in report.utilisation.items())
    rows = [
        [
            *(one.tier.value, one.tenants, one.tasks),
            *(f"{wait:.3f}" for wait in (one.mean, one.p50, one.p95, one.p99)),
            f"{one.fairness:.4f}",
        ]
        for one in report.tiers
    ]
    header = ("tier", "tenants", "tasks", "mean s", "P50 s", "P95 s", "P99 s", "fairness")
    return (
        f"{report.tasks} tasks in {report.seconds:.0f} s of virtual time (took {took:.1f} s); slots in use: {use}\n"
        + table(header, rows)
    )


def _cells_text(cells: Sequence[CellReport]) -> str:
    header = ("cell", "tenants", "slots", "tasks", "tasks/s", "in its busiest 10 s", "P95 s")
    return "\n" + table(
        header,
        [
            [one.cell, one.tenants, one.slots, one.tasks, f"{one.rate:.0f}", f"{one.busiest:.0f}", f"{one.p95:.3f}"]
            for one in cells
        ],
    )
