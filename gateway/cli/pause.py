"""`taskgate pause …` and `taskgate resume …`: what is accepted and does not start."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.given import refuse
from gateway.cli.output import AsJson, fail, print_json, print_result
from gateway.cli.table import table
from gateway.cli.text import utc

pause_app = typer.Typer(help="Pauses of tenants, projects and task types.", no_args_is_help=True)

PATH = "/gateway/v1/pauses"
Tenant = Annotated[str | None, typer.Option("--tenant", help="Only tasks of this tenant")]
Project = Annotated[str | None, typer.Option("--project", help="Only tasks of this project")]
TaskType = Annotated[str | None, typer.Option("--type", help="Only tasks of this type")]


@pause_app.command("set")
def pause(
    why: Annotated[str, typer.Option("--why", help="Reason, for the audit log")],
    tenant: Tenant = None,
    project: Project = None,
    task_type: TaskType = None,
    as_json: AsJson = False,
) -> None:
    """Pause tasks: those that match all given options are accepted, but not started. Running tasks go on. Prints the
    id of the pause."""
    body = {"tenant_id": tenant, "project_id": project, "task_type": task_type, "why": why}
    with GatewayClient() as gateway:
        answer = gateway.call("POST", PATH, body=body)
    print_result(answer, answer["pause_id"], as_json=as_json)


@pause_app.command("list")
def list_pauses(as_json: AsJson = False) -> None:
    """List the pauses."""
    with GatewayClient() as gateway:
        found = gateway.get(PATH)["pauses"]
    if as_json:
        print_json(found)
        return
    header = ("pause", "tenant", "project", "type", "since", "by", "why")
    rows = [
        [
            one["pause_id"],
            *(one[name] or "any" for name in ("tenant_id", "project_id", "task_type")),
            utc(one["set_at"]),
            one["set_by"],
            one["why"],
        ]
        for one in found
    ]
    typer.echo(table(header, rows) if rows else "nothing is paused")


def resume(
    context: typer.Context,
    pause_id: Annotated[
        str | None, typer.Argument(help="Id of the pause; or give the options that it was made with")
    ] = None,
    tenant: Tenant = None,
    project: Project = None,
    task_type: TaskType = None,
    why: Annotated[str | None, typer.Option("--why", help="Reason, for the audit log")] = None,
    as_json: AsJson = False,
) -> None:
    """End a pause: waiting tasks start."""
    if pause_id is not None:
        refuse(context, "tenant", "project", "task_type", says="names a pause that has no id here; write one of them")
    with GatewayClient() as gateway:
        if pause_id is None:
            wanted = (tenant, project, task_type)
            pauses = gateway.get(PATH)["pauses"]
            found = [p for p in pauses if (p["tenant_id"], p["project_id"], p["task_type"]) == wanted]
            if not found:
                fail("there is no such pause; `taskgate pause list` shows those there are", code=2)
            pause_id = found[0]["pause_id"]
        gateway.call("DELETE", f"{PATH}/{quote(pause_id, safe='')}", query={"why": why})
    print_result({"pause_id": pause_id}, "resumed", as_json=as_json)
