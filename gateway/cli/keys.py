"""`taskgate keys …`: API keys of a running gateway."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.output import AsJson, print_json, print_result
from gateway.cli.table import table

keys_app = typer.Typer(help="API keys: make, list, rotate and revoke them.", no_args_is_help=True)

PATH = "/gateway/v1/keys"
KeyId = Annotated[str, typer.Argument(help="Id of the key, as `taskgate keys list` shows it", metavar="KEY_ID")]
Why = Annotated[str | None, typer.Option("--why", help="Reason, for the record")]
Expires = Annotated[str | None, typer.Option("--expires-at", help="ISO 8601 with offset; left out: never")]


@keys_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="For people", metavar="NAME")],
    scope: Annotated[
        str, typer.Option("--scope", help="read, submit, operate or admin; each includes those before it")
    ],
    tenant: Annotated[str | None, typer.Option("--tenant", help="For this tenant only")] = None,
    project: Annotated[str | None, typer.Option("--project", help="For this project of the tenant only")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Whose key it is; left out: yours")] = None,
    expires_at: Expires = None,
    per_minute: Annotated[int | None, typer.Option("--per-minute", min=1, help="Requests, at each gateway")] = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print it; it is shown this once."""
    asked = {
        "name": name,
        "scope": scope,
        "tenant_id": tenant,
        "project_id": project,
        "user_id": user,
        "expires_at": expires_at,
        "per_minute": per_minute,
        "why": why,
    }
    with GatewayClient() as gateway:
        made = gateway.call("POST", PATH, body={field: value for field, value in asked.items() if value is not None})
    print_result(made, _made(made), as_json=as_json)


@keys_app.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only those for this tenant")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only those of this user")] = None,
    as_json: AsJson = False,
) -> None:
    """List the keys that you manage, without the keys themselves."""
    found: list[dict[str, Any]] = []
    after: str | None = ""
    with GatewayClient() as gateway:
        while after is not None:
            page = gateway.get(PATH, tenant_id=tenant, user_id=user, after=after, limit=1000)
            found += page["keys"]
            after = page["next"]
    if as_json:
        print_json(found)
        return
    header = ("key", "name", "user", "scope", "for", "state", "expires", "last used", "from")
    rows = [
        [
            one["key_id"],
            one["name"],
            one["user_id"],
            one["scope"] or "+".join(one["permissions"]) or "all",
            one["project_id"] or one["tenant_id"] or "all",
            one["state"],
            one["expires_at"] or "never",
            one["last_used_at"] or "never",
            str(len(one["addresses"])) + (" addresses" if len(one["addresses"]) != 1 else " address"),
        ]
        for one in found
    ]
    typer.echo(table(header, rows) if rows else "no keys")


@keys_app.command("rotate")
def rotate(
    key_id: KeyId,
    overlap: Annotated[
        float, typer.Option("--overlap", min=0, help="Hours for which the old key stays valid; 0: it ends at once")
    ] = 24.0,
    expires_at: Expires = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Make a key that follows another one, and print it; it is shown this once."""
    asked = {"overlap_seconds": overlap * 3600, "expires_at": expires_at, "why": why}
    with GatewayClient() as gateway:
        made = gateway.call("POST", f"{PATH}/{quote(key_id, safe='')}/rotate", body=asked)
    print_result(made, _made(made), as_json=as_json)


@keys_app.command("revoke")
def revoke(key_id: KeyId, why: Why = None, as_json: AsJson = False) -> None:
    """Revoke a key, at every gateway at once."""
    with GatewayClient() as gateway:
        revoked = gateway.call("DELETE", f"{PATH}/{quote(key_id, safe='')}", query={"why": why})
    print_result(revoked, f"{revoked['key_id']} is revoked", as_json=as_json)


def _made(made: dict[str, Any]) -> str:
    return f"{made['key']}\nThis is shown once. Its id is {made['key_id']}."
