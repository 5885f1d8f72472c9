"""`taskgate tenant …`: tenants of a running gateway, their tiers and weights."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.output import AsJson, print_json, print_result
from gateway.cli.past_gateway import note_of
from gateway.cli.table import table

tenant_app = typer.Typer(
    help="Tenants: their tiers, weights and quotas, and why their tasks wait.", no_args_is_help=True
)

PATH = "/gateway/v1/tenants"
Tenant = Annotated[str, typer.Option("--tenant", help="Tenant id")]
Why = Annotated[str | None, typer.Option("--why", help="Reason, for the audit log")]


@tenant_app.command("list")
def list_tenants(as_json: AsJson = False) -> None:
    """List your tenants. Administrators get all tenants."""
    found: list[dict[str, Any]] = []
    after: str | None = ""
    with GatewayClient() as gateway:
        while after is not None:
            page = gateway.get(PATH, after=after, limit=1000)
            found += page["tenants"]
            after = page["next"]
    if as_json:
        print_json(found)
        return
    header = ("tenant", "tier", "weight", "stage")
    rows = [[one["tenant_id"], one["tier"], f"{one['weight']:g}", one["stage"]] for one in found]
    typer.echo(table(header, rows) if rows else "no tenants")


@tenant_app.command("show")
def show(tenant: Tenant, as_json: AsJson = False) -> None:
    """Show a tenant: its quotas and their use, its pauses, and its unfinished tasks."""
    with GatewayClient() as gateway:
        found = gateway.get(tenant_path(tenant))
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found['tenant_id']}: {found['tier']}, weight {found['weight']:g}, stage {found['stage']}")
    typer.echo(_counts("unfinished", found["tasks"]))
    if found["held"]:
        typer.echo(_counts("held", found["held"]))
    if (note := note_of(found["past_gateway"])) is not None:
        typer.echo(note)
    for pause in found["pauses"]:
        typer.echo(f"paused ({pause['pause_id']}, {pause['set_by']}): {pause['why']}")
    if found["quotas"]:
        typer.echo(quota_table(found["quotas"]))


@tenant_app.command("tier")
def tier(
    tenant: Tenant,
    tier_name: Annotated[str, typer.Argument(help="Tier: enterprise, vip or standard", metavar="TIER")],
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Change the tier of a tenant. Its waiting tasks move to the queues of the new tier."""
    _change(tenant, as_json=as_json, tier=tier_name, why=why)


@tenant_app.command("weight")
def weight(
    tenant: Tenant,
    share: Annotated[
        float, typer.Argument(help="Weight from 0.001 to 1000; a tenant without one has 1", metavar="WEIGHT")
    ],
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Change the weight of a tenant: its share of queues that it shares with other tenants."""
    _change(tenant, as_json=as_json, weight=share, why=why)


def _change(tenant_id: str, *, as_json: bool, **change: Any) -> None:
    with GatewayClient() as gateway:
        found = gateway.call("PUT", tenant_path(tenant_id), body=change)
    print_result(found, f"{found['tenant_id']}: {found['tier']}, weight {found['weight']:g}", as_json=as_json)


def tenant_path(tenant_id: str) -> str:
    return f"{PATH}/{quote(tenant_id, safe='')}"


def quota_table(quotas: list[dict[str, Any]]) -> str:
    """Used and limit, side by side."""
    names = ("queued", "running", "per_minute", "bytes_per_day")
    rows = [
        [one["project_id"] or "(tenant)", *(_of(one["used"][name], one["limits"][name]) for name in names)]
        for one in quotas
    ]
    return table(("quota of", "queued", "running", "per minute", "bytes per day"), rows)


def _of(used: int, limit: int | None) -> str:
    return f"{used} (no limit)" if limit is None else f"{used} of {limit}"


def _counts(what: str, counts: dict[str, int]) -> str:
    return f"{what}: " + ", ".join(f"{tasks} {name}" for name, tasks in counts.items())
