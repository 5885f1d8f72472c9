"""`taskgate migration parity`: whether a tenant's tasks fare as well on Temporal as they did on Redis."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.following import follow
from gateway.cli.given import refuse_before_subcommand
from gateway.cli.output import AsJson, print_json
from gateway.cli.table import table

PATH: Final = "/gateway/v1/migration/parity"
#: Of verdicts; 3: there is none yet.
EXIT_CODES: Final = {"pass": 0, "regress": 4}

Tenant = Annotated[str, typer.Option("--tenant", help="Id of the tenant")]

_SIDE: Final = ("tasks", "failed", "retried", "dead", "runs/task", "run p50", "p90", "wait p90", "late p90")
_STREAM: Final = (
    *("before", "since", "evidence", "needed", "at most", "passes"),
    *("even minutes", "odd minutes", "others before", "since"),
)

parity_app = typer.Typer(help="Compare how a tenant's tasks do on Temporal with how they did on Redis before.")


@parity_app.callback(invoke_without_command=True)
def parity(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Id of the tenant")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Compare from this time on (ISO 8601); default: from the last move")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show each change, until Ctrl-C")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare a tenant's tasks since its move with those before, by task type, and show the noise beside them.

    Exit code: 0 for `pass`, 4 for `regress`, 3 for `inconclusive` and `no_data`. With --watch and --json, each line is
    one object.
    """
    if context.invoked_subcommand is not None:
        refuse_before_subcommand(context)
        return
    if tenant is None:
        raise typer.BadParameter("name a tenant", param_hint="--tenant")
    if watch:
        if since is not None:
            raise typer.BadParameter("a parity is watched since the last move", param_hint="--since")
        follow(f"{PATH}/stream", text_of, as_json=as_json, tenant_id=tenant)
        return
    with GatewayClient() as gateway:
        report = gateway.get(PATH, tenant_id=tenant, since=since)
    if as_json:
        print_json(report)
    else:
        typer.echo(text_of(report))
    raise typer.Exit(EXIT_CODES.get(report["verdict"], 3))


def text_of(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    lines = [f"tenant {report['tenant_id']}, stage {report['stage']}: {report['verdict']}"]
    lines += [f"  {reason}" for reason in report["reasons"]]
    for one in report["types"]:
        rows = [_side(side) for side in one["sides"] if side["runs"] or side["tasks"]]
        lines += ["", table((one["task_type"], *_SIDE), rows)]
        lines += ["", table(("", *_STREAM), [_stream(stream) for stream in one["streams"]])]
    return "\n".join(lines)


def _side(side: dict[str, Any]) -> list[Any]:
    per_task = side["attempts_per_task"]
    return [
        f"{side['backend']} {side['when']}",
        side["tasks"],
        *(_rate(side[name]) for name in ("failed", "retried", "dead")),
        "-" if per_task is None else f"{per_task:.2f}",
        _seconds(side["run"]["p50"]),
        _seconds(side["run"]["p90"]),
        _seconds(side["wait"]["p90"]),
        _seconds(side["late"]["p90"]),
    ]


def _stream(stream: dict[str, Any]) -> list[Any]:
    return [
        stream["stream"],
        _rate(stream["before"]),
        _rate(stream["since"]),
        f"10^{stream['evidence']:.1f}",
        f"10^{stream['evidence_needed']:.1f}",
        f"{stream['at_most']:.1%}",
        f"{stream['tolerated']:.1%}",
        *(_rate(stream[name]) for name in ("even_minutes", "odd_minutes", "others_before", "others_since")),
    ]


def _rate(rate: dict[str, int] | None) -> str:
    return "-" if not rate or not rate["asked"] else f"{rate['yes'] / rate['asked']:.1%} of {rate['asked']}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g} s"


@parity_app.command("gate")
def gate(
    tenant: Tenant,
    task_type: Annotated[str, typer.Option("--type", help="Task type")],
    samples: Annotated[
        int,
        typer.Option("--samples", help="Number of completed tasks to compare on each side; the first request fixes it"),
    ],
    as_json: AsJson = False,
) -> None:
    """Compare durations before and since the last move, once. The gateway needs SciPy (`taskgate[parity]`).

    Exit code: 0 for `pass`, 4 for `regress`, 3 for `inconclusive` and `no_data`.
    """
    asked = {"tenant_id": tenant, "task_type": task_type, "samples": samples}
    with GatewayClient() as gateway:
        answer = gateway.call("POST", f"{PATH}/gate", body=asked)
    if as_json:
        print_json(answer)
    else:
        typer.echo("\n".join([f"{answer['verdict']}, {answer['samples']} samples", *answer["reasons"]]))
        if answer["measures"]:
            rows = [_measure(one) for one in answer["measures"]]
            typer.echo(table(("", "median before", "since", "longer in", "p"), rows))
    raise typer.Exit(EXIT_CODES.get(answer["verdict"], 3))


def _measure(one: dict[str, Any]) -> list[Any]:
    return [
        one["name"],
        _seconds(one["before"]),
        _seconds(one["since"]),
        f"{one['longer']:.1%}",
        f"{one['p_value']:.2g}",
    ]
