"""`taskgate scale …`: autoscaling signals, and what should run."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.output import AsJson, print_json
from gateway.cli.past_gateway import past_gateway_line
from gateway.cli.table import table
from gateway.fleet.plan import PlanRules, PoolPlan, plan
from gateway.fleet.scale_document import pools_of

scale_app = typer.Typer(
    help="Load of each pool, and how many workers it needs. For administrators.", no_args_is_help=True
)

SlotsPerWorker = Annotated[int, typer.Option("--slots-per-worker", min=1, help="Number of slots of one worker process")]
Smallest = Annotated[int, typer.Option("--min", min=0, help="Minimum number of workers of a pool")]
Largest = Annotated[int, typer.Option("--max", min=1, help="Maximum number of workers of a pool")]
Utilisation = Annotated[
    float, typer.Option("--utilisation", min=0.05, max=1.0, help="Target utilisation of slots, from 0.05 to 1")
]


@scale_app.command("signals")
def show_signals(as_json: AsJson = False) -> None:
    """Show backlog, oldest waiting task, running tasks, slots and rates, by pool, tier and backend.

    With --json, one array holds both: `tier` is null for a whole pool, `workers` and `slots` are null for a tier.
    """
    answer = _ask()
    if as_json:
        of_pools = [{"tier": None, **one} for one in answer["pools"]]
        print_json(of_pools + [{"workers": None, "slots": None, **one} for one in answer["signals"]])
        return
    figures = (
        *("backlog", "oldest_seconds", "running", "on_legacy_workers", "arrivals_per_second"),
        *("completions_per_second", "run_seconds", "past_gateway"),
    )
    shown = ("backlog", "oldest s", "running", "legacy", "in/s", "out/s", "run s", "past gateway")
    rows = [[one[name] for name in ("pool", "backend", "workers", "slots", *figures)] for one in answer["pools"]]
    typer.echo(table(("pool", "backend", "workers", "slots", *shown), rows))
    rows = [[one[name] for name in ("tier", "backend", "pool", *figures)] for one in answer["signals"]]
    typer.echo("\n" + table(("tier", "backend", "pool", *shown), rows))
    for one in answer["pools"]:
        if one["past_gateway"]:
            typer.echo("\n" + past_gateway_line(one["past_gateway"], 0, one["past_gateway_at"]))


@scale_app.command("plan")
def show_plan(
    slots_per_worker: SlotsPerWorker = 20,
    smallest: Smallest = 1,
    largest: Largest = 100,
    utilisation: Utilisation = 0.7,
    as_json: AsJson = False,
) -> None:
    """Show how many workers each pool should run now, and why. Changes nothing."""
    if smallest > largest:
        raise typer.BadParameter("it is larger than --max", param_hint="--min")
    answer = _ask()
    rules = {
        name: replace(
            pool, slots_per_worker=slots_per_worker, smallest=smallest, largest=largest, utilisation=utilisation
        )
        for name, pool in PlanRules().pools.items()
    }
    plans = plan(pools_of(answer), PlanRules(rules))
    if as_json:
        print_json([{**asdict(one), "change": one.change} for one in plans])
        return
    typer.echo("\n".join(_text(one) for one in plans))
    for whole in (pool for pool in answer["pools"] if pool["pool"] is None):
        typer.echo(f"beside them: {whole['workers']} workers serve all pools of {whole['backend']}, not planned here")


def _ask() -> dict[str, Any]:
    with GatewayClient() as gateway:
        answer: dict[str, Any] = gateway.get("/gateway/v1/scale")
        return answer


def _text(one: PoolPlan) -> str:
    word = "stay" if one.change == 0 else f"{one.change:+d}"
    lines = [f"pool {one.pool} ({one.backend}): {one.now} → {one.workers} workers ({word})"]
    return "\n".join(lines + [f"  {reason}" for reason in one.reasons])
