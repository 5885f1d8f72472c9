"""`taskgate dag`: definitions of DAGs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
import yaml

from gateway.cli.client import GatewayClient
from gateway.cli.output import AsJson, print_json, print_result
from gateway.cli.table import table
from gateway.cli.yaml_text import name_in

dag_app = typer.Typer(help="DAGs: check, apply, compare and run them.", no_args_is_help=True)

Tenant = Annotated[str | None, typer.Option("--tenant", help="Tenant of the DAG; default: your own")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="File with the definition, YAML or JSON")]
AnyTypes = Annotated[bool, typer.Option("--any-types", help="Accept task types for which no worker has a handler, too")]
API = "/gateway/v1/dags"


@dag_app.command("validate")
def validate(file: File, tenant: Tenant = None, any_types: AnyTypes = False, as_json: AsJson = False) -> None:
    """Print all errors of a definition; exit code 2 if there are any."""
    with GatewayClient() as gateway:
        answer = _send(gateway, "POST", f"{API}/validate", file, tenant_id=tenant, any_types=any_types)
    if as_json:
        print_json(answer)
    elif answer["valid"]:
        typer.echo(f"{file}: valid, {answer['nodes']} nodes")
    for fault in () if as_json else answer["faults"]:
        typer.echo(f"{file}:{fault['line'] or 1}:{fault['column'] or 1}: {fault['message']} ({fault['place'] or '/'})")
    if not answer["valid"]:
        raise typer.Exit(2)


@dag_app.command("apply")
def apply(
    file: File,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the DAG; default: the name in the file, else the name of the file"),
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="Label of the new version")] = None,
    tenant: Tenant = None,
    any_types: AnyTypes = False,
    base: Annotated[
        int | None, typer.Option("--base", min=0, help="Refuse the change unless this version is in use; 0: none is")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Store a definition as a new version, which new runs then use. Open runs keep their version."""
    with GatewayClient() as gateway:
        if name is None:
            name = name_in(file.read_bytes()) or file.stem
        path = f"{API}/{quote(name, safe='')}"
        answer = _send(gateway, "PUT", path, file, tenant_id=tenant, label=label, any_types=any_types, base=base)
    if as_json:
        print_json(answer)
    else:
        news = "new" if answer["is_new"] else "unchanged"
        typer.echo(f"{answer['name']}@{answer['version']} ({news}, {answer['nodes']} nodes)")


@dag_app.command("list")
def list_dags(tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List the DAGs of a tenant, and the built-in ones."""
    with GatewayClient() as gateway:
        found = gateway.get(API, tenant_id=tenant)["dags"]
    if as_json:
        print_json(found)
        return
    rows = [
        (
            dag["name"],
            dag["version"],
            dag["latest"],
            dag["nodes"],
            "yes" if dag["built_in"] else "no",
            dag["description"],
        )
        for dag in found
    ]
    typer.echo(table(("name", "in use", "latest", "nodes", "built in", "description"), rows))


@dag_app.command("types")
def list_types(tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List the task types that a node may use."""
    with GatewayClient() as gateway:
        found = gateway.get(API, tenant_id=tenant)["task_types"]
    print_result(found, "\n".join(found), as_json=as_json)


@dag_app.command("show")
def show_dag(
    name: str,
    version: Annotated[str | None, typer.Option("--version", help="Version number or label")] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Print one version of a DAG, as it was written."""
    with GatewayClient() as gateway:
        answer = gateway.get(f"{API}/{quote(name, safe='')}", tenant_id=tenant, version=version)
    if as_json:
        print_json(answer)
    else:
        typer.echo(answer["source"] or yaml.safe_dump(answer["definition"], sort_keys=False), nl=False)


@dag_app.command("versions")
def list_versions(name: str, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List the versions of a DAG, newest first."""
    with GatewayClient() as gateway:
        found = gateway.get(f"{API}/{quote(name, safe='')}/versions", tenant_id=tenant)["versions"]
    if as_json:
        print_json(found)
        return
    rows = [
        (
            f"{one['version']}{' *' if one['is_current'] else ''}",
            one.get("label"),
            one["nodes"],
            one.get("created_by"),
            one.get("created_at"),
        )
        for one in found
    ]
    typer.echo(table(("version", "label", "nodes", "by", "at"), rows))


@dag_app.command("diff")
def diff(
    name: str,
    before: Annotated[str, typer.Argument(help="Version number or label")],
    after: Annotated[str | None, typer.Argument(help="Version number or label; default: the version in use")] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Show the differences between two versions."""
    with GatewayClient() as gateway:
        path = f"{API}/{quote(name, safe='')}/diff"
        answer = gateway.get(path, tenant_id=tenant, before=before, after=after)
    if as_json:
        print_json(answer)
        return
    typer.echo(f"{name}@{answer['before']} → {name}@{answer['after']}")
    for change in answer["changes"]:
        if change["op"] != "add":
            typer.echo(f"- {change['place']}: {json.dumps(change['before'], ensure_ascii=False)}")
        if change["op"] != "remove":
            typer.echo(f"+ {change['place']}: {json.dumps(change['after'], ensure_ascii=False)}")


@dag_app.command("rollback")
def roll_back(
    name: str,
    version: Annotated[str, typer.Argument(help="Version number or label")],
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Make an earlier version the one that new runs use."""
    with GatewayClient() as gateway:
        path = f"{API}/{quote(name, safe='')}/rollback"
        answer = gateway.call("POST", path, body={"version": version}, query={"tenant_id": tenant})
    print_result(answer, f"new runs of {name} use version {answer['version']}", as_json=as_json)


def _send(gateway: GatewayClient, method: str, path: str, file: Path, **query: Any) -> Any:
    kind = "application/json" if file.suffix == ".json" else "application/yaml"
    return gateway.call(method, path, query=query, content=file.read_bytes(), headers={"Content-Type": kind})
