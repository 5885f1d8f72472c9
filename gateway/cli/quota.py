"""`taskgate quota …`: how much a tenant, or one of its projects, may have."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.output import AsJson, print_result
from gateway.cli.tenant import Tenant, Why, quota_table, tenant_path

quota_app = typer.Typer(help="Quotas of tenants and projects.", no_args_is_help=True)

Project = Annotated[
    str | None, typer.Option("--project", help="Project whose quota is meant; default: the quota of the tenant")
]


@quota_app.command("set")
def set_quota(
    tenant: Tenant,
    project: Project = None,
    queued: Annotated[
        int | None, typer.Option("--queued", min=0, help="Maximum number of tasks that are accepted and have not begun")
    ] = None,
    running: Annotated[
        int | None, typer.Option("--running", min=0, help="Maximum number of tasks on a backend; further ones wait")
    ] = None,
    per_minute: Annotated[
        int | None, typer.Option("--per-minute", min=0, help="Maximum number of tasks accepted in 60 seconds")
    ] = None,
    bytes_per_day: Annotated[
        int | None,
        typer.Option("--bytes-per-day", min=0, help="Maximum number of bytes of payloads accepted per day (UTC)"),
    ] = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Replace all quotas of a tenant or project; those that are left out have no limit."""
    limits = {"queued": queued, "running": running, "per_minute": per_minute, "bytes_per_day": bytes_per_day}
    with GatewayClient() as gateway:
        answer = gateway.call(
            "PUT", f"{tenant_path(tenant)}/quotas", body={**limits, "why": why}, query={"project_id": project}
        )
    print_result(answer["quotas"], quota_table(answer["quotas"]), as_json=as_json)


@quota_app.command("show")
def show(tenant: Tenant, as_json: AsJson = False) -> None:
    """Show the quotas of a tenant and its projects, and their use."""
    with GatewayClient() as gateway:
        quotas = gateway.get(f"{tenant_path(tenant)}/quotas")["quotas"]
    print_result(quotas, quota_table(quotas) if quotas else "no quotas", as_json=as_json)


@quota_app.command("clear")
def clear(tenant: Tenant, project: Project = None, why: Why = None, as_json: AsJson = False) -> None:
    """Remove the quotas of a tenant or project."""
    with GatewayClient() as gateway:
        gateway.call("DELETE", f"{tenant_path(tenant)}/quotas", query={"project_id": project, "why": why})
    print_result({"tenant_id": tenant, "project_id": project}, "cleared", as_json=as_json)
