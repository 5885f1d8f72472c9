"""`taskgate migration guardrails`: what takes a tenant back to Redis by itself."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.output import AsJson, print_json, print_result
from gateway.cli.table import table
from gateway.cli.text import utc
from gateway.migration.command import command

guardrails_app = typer.Typer(
    help="Guardrails: they move a tenant back to Redis when its tasks do worse on Temporal.", no_args_is_help=True
)

PATH: Final = "/gateway/v1/migration/guardrails"
_LARGEST_PAGE: Final = 200
OneTenant = Annotated[str | None, typer.Option("--tenant", help="Only this tenant")]
Why = Annotated[str, typer.Option("--why", help="Reason, for the audit log")]


@guardrails_app.command("show")
def show(tenant: OneTenant = None, as_json: AsJson = False) -> None:
    """Show the settings, whether guardrails are frozen, and the guardrails that are not resting."""
    with GatewayClient() as gateway:
        answer = gateway.get(PATH, tenant_id=tenant)
    print_result(answer, _text(answer), as_json=as_json)


@guardrails_app.command("set")
def set_guardrail(
    why: Why,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Level: this tenant")] = None,
    tier: Annotated[
        str | None, typer.Option("--tier", help="Level: this tier; without --tenant and --tier: the default")
    ] = None,
    on_regression: Annotated[
        str | None,
        typer.Option(
            "--on-regression", help="What to do after a proven regression: notify, hold or roll_back (the default)"
        ),
    ] = None,
    dry_run: Annotated[
        bool | None, typer.Option("--dry-run/--no-dry-run", help="Only report what would be done")
    ] = None,
    on_threshold: Annotated[
        str | None,
        typer.Option("--on-threshold", help="What to do when a limit is exceeded: notify (the default) or hold"),
    ] = None,
    queue_age: Annotated[
        float | None, typer.Option("--queue-age", help="Limit for the age of the oldest waiting task, in seconds")
    ] = None,
    dead_letters: Annotated[
        float | None, typer.Option("--dead-letters", help="Limit for new dead letters per minute")
    ] = None,
    worker_losses: Annotated[
        float | None, typer.Option("--worker-losses", help="Limit for attempts per minute whose worker was lost")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replace all settings of a tenant, a tier, or the default.

    A setting that is left out is taken from the next level: tenant, then tier, then default.
    """
    given = {
        "tenant_id": tenant,
        "tier": tier,
        "on_regression": on_regression,
        "dry_run": dry_run,
        "on_threshold": on_threshold,
        "queue_age_seconds": queue_age,
        "dead_letters_per_minute": dead_letters,
        "worker_losses_per_minute": worker_losses,
        "why": why,
    }
    with GatewayClient() as gateway:
        answer = gateway.call("PUT", PATH, body={name: value for name, value in given.items() if value is not None})
    print_result(answer, _text(answer), as_json=as_json)


@guardrails_app.command("unlock")
def unlock(
    tenant: Annotated[str, typer.Option("--tenant", help="Id of the tenant")], why: Why, as_json: AsJson = False
) -> None:
    """Unlock a tenant after its third automatic rollback, so that it may be moved again. Its override stays until it
    is cleared."""
    with GatewayClient() as gateway:
        answer = gateway.call("POST", f"{PATH}/unlock", body={"tenant_id": tenant, "why": why})
    clear = command("route override clear", tenant=tenant)
    print_result(answer, f"unlocked; `{clear}` moves it again", as_json=as_json)


@guardrails_app.command("unfreeze")
def unfreeze(why: Why, as_json: AsJson = False) -> None:
    """End the freeze: all guardrails act again. Earlier evidence no longer counts."""
    with GatewayClient() as gateway:
        answer = gateway.call("POST", f"{PATH}/unfreeze", body={"why": why})
    print_result(answer, "unfrozen", as_json=as_json)


@guardrails_app.command("history")
def history(
    tenant: OneTenant = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of events")] = 50,
    as_json: AsJson = False,
) -> None:
    """List what guardrails did and reported, newest first."""
    with GatewayClient() as gateway:
        found, last = gateway.listed(f"{PATH}/history", "events", limit, _LARGEST_PAGE, tenant_id=tenant)
    if as_json:
        print_json(found)
        return
    rows = [
        [one["id"], utc(one["at"]), one["tenant_id"] or "all", one["kind"], one["who"], one["entry_id"], one["why"]]
        for one in found
    ]
    typer.echo(table(("event", "at", "tenant", "what", "by", "entry", "why"), rows) if found else "nothing happened")
    if last["next_cursor"] is not None:
        typer.echo(f"there are more than {limit}", err=True)


def _text(answer: dict[str, Any]) -> str:
    lines = [f"FROZEN since {utc(answer['frozen']['since'])}: {answer['frozen']['why']}"] if answer["frozen"] else []
    for one in answer["settings"]:
        known = ("scope", "who", "why", "at")
        said = ", ".join(f"{name} {value}" for name, value in one.items() if name not in known and value is not None)
        lines.append(f"{one['scope']}: {said or 'nothing of its own'} (by {one['who']}: {one['why']})")
    rows = []
    for one in answer["guardrails"]:
        ends = one["cooldown_ends"]
        rows.append(
            [
                one["tenant_id"],
                one["phase"],
                "dry run" if one["policy"]["dry_run"] else one["policy"]["on_regression"],
                one["redis_stage"],
                one["rollbacks"],
                ends and utc(ends),
                "; ".join([*one["holds"], *one["notes"]]) or None,
            ]
        )
    header = ("tenant", "phase", "on regression", "back to", "rollbacks", "cooldown until", "says")
    lines.append(table(header, rows) if rows else "every guardrail is at rest")
    return "\n".join(lines)
