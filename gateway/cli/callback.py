"""`taskgate callback …`: messages about ended tasks to receivers, and the secrets that sign them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.given import refuse
from gateway.cli.output import AlwaysJson, AsJson, fail, print_json, print_result, results
from gateway.cli.table import table
from gateway.cli.text import utc

callback_app = typer.Typer(help="Callbacks and the secrets that sign them.", no_args_is_help=True)

_PATH = "/gateway/v1/callbacks"

Tenant = Annotated[str | None, typer.Option("--tenant", help="Id of the tenant")]
Task = Annotated[str | None, typer.Option("--task", help="Id of the task")]


@callback_app.command("list")
def list_callbacks(
    tenant: Tenant = None,
    task: Task = None,
    state: Annotated[
        str | None, typer.Option("--state", help="Only callbacks in this state: pending, delivered or dead")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="Maximum number of entries")] = 50,
    as_json: AsJson = False,
) -> None:
    """List callbacks, newest first."""
    with GatewayClient() as gateway:
        page = gateway.get(_PATH, tenant_id=tenant, task_id=task, state=state, limit=limit)
    found = page["callbacks"]
    if as_json:
        print_json(found)
        return
    header = ("id", "task", "event", "state", "attempts", "status", "tried", "error", "url")
    rows = [
        [
            *(callback[name] for name in ("id", "task_id", "event", "state", "attempts", "status")),
            callback["tried_at"] and utc(callback["tried_at"]),
            callback["error"],
            callback["url"],
        ]
        for callback in found
    ]
    typer.echo(table(header, rows) if rows else "no callbacks")
    if page["next_cursor"] is not None:
        typer.echo(f"there are more than {limit}", err=True)


@callback_app.command("show")
def show(
    callback_id: Annotated[str, typer.Argument(help="Id of the callback", metavar="ID")], _as_json: AlwaysJson = False
) -> None:
    """Show a callback and its content, as JSON."""
    with GatewayClient() as gateway:
        print_json(gateway.get(f"{_PATH}/{quote(callback_id, safe='')}"))


@callback_app.command("resend")
def resend(
    context: typer.Context,
    callback_ids: Annotated[list[str] | None, typer.Argument(help="Ids of callbacks", metavar="ID…")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="All that were given up, instead of single ones")] = False,
    tenant: Tenant = None,
    task: Task = None,
    as_json: AsJson = False,
) -> None:
    """Send callbacks again: the given ones, or with --dead all that were given up."""
    if dead == bool(callback_ids):
        fail("write the ids of callbacks, or --dead for those that were given up (not both)", code=2)
    if not dead:
        refuse(context, "tenant", "task", says="chooses among those that --dead names; leave it or the ids out")
    with GatewayClient() as gateway:
        if not dead:
            with results(as_json=as_json) as say:
                for callback_id in callback_ids or []:
                    gateway.call("POST", f"{_PATH}/{quote(callback_id, safe='')}/resend")
                    say({"id": callback_id}, f"sent again: {callback_id}")
            return
        total, step = 0, {"tenant_id": tenant, "task_id": task}
        while (answer := gateway.call("POST", f"{_PATH}/resend", body=step))["resent"]:
            total += answer["resent"]
            step["given_up_before"] = answer["given_up_before"]
    print_result({"resent": total}, f"sent again: {total} callbacks", as_json=as_json)


@callback_app.command("secret")
def secret(
    context: typer.Context,
    tenant: Annotated[str, typer.Option("--tenant", help="Id of the tenant")],
    rotate: Annotated[bool, typer.Option("--rotate", help="Create a new secret, and print it")] = False,
    overlap: Annotated[float, typer.Option("--overlap", help="Hours for which the previous secret stays valid")] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Show the valid secrets of a tenant, without their values. With --rotate, create a new one."""
    if not rotate:
        refuse(context, "overlap", says="goes with --rotate")
    path = f"/gateway/v1/tenants/{quote(tenant, safe='')}/webhook-secret"
    with GatewayClient() as gateway:
        if rotate:
            made = gateway.call("POST", path, body={"overlap_hours": overlap})
            print_result(made, made["secret"], as_json=as_json)
            return
        found = gateway.get(path)["secrets"]
    if as_json:
        print_json(found)
        return
    rows = [[s["id"], utc(s["created_at"]), s["created_by"], s["expires_at"] and utc(s["expires_at"])] for s in found]
    typer.echo(table(("id", "created", "by", "valid until"), rows) if rows else "no secret: make one with --rotate")
