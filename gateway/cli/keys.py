"""`taskgate keys …`: API keys of a running gateway."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.output import AsJson, print_json, print_result
from gateway.cli.table import table

keys_app = typer.Typer(help="API keys: create, list, rotate and revoke them.", no_args_is_help=True)

PATH = "/gateway/v1/keys"
KeyId = Annotated[str, typer.Argument(help="Id of the key, as `taskgate keys list` shows it", metavar="KEY_ID")]
Why = Annotated[str | None, typer.Option("--why", help="Reason, for the audit log")]
Expires = Annotated[
    str | None, typer.Option("--expires-at", help="When the key expires, ISO 8601 with offset; default: never")
]


@keys_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name of the key, for people", metavar="NAME")],
    scope: Annotated[
        str,
        typer.Option(
            "--scope",
            help="What the key may be used for: read, submit, operate or admin; each includes the ones before it",
        ),
    ],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Restrict the key to this tenant")] = None,
    project: Annotated[
        str | None, typer.Option("--project", help="Restrict the key to this project of the tenant")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="User of the key; default: you")] = None,
    expires_at: Expires = None,
    per_minute: Annotated[
        int | None,
        typer.Option(
            "--per-minute", min=1, help="Maximum number of requests per minute, at each gateway; default: no limit"
        ),
    ] = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Create a key, and print it. It is shown only this once."""
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
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only keys for this tenant")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only keys of this user")] = None,
    as_json: AsJson = False,
) -> None:
    """List the keys that you manage, without their values."""
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
        float,
        typer.Option("--overlap", min=0, help="Hours for which the old key stays valid; 0: it becomes invalid at once"),
    ] = 24.0,
    expires_at: Expires = None,
    why: Why = None,
    as_json: AsJson = False,
) -> None:
    """Create a key that replaces another one, and print it. It is shown only this once."""
    asked = {"overlap_seconds": overlap * 3600, "expires_at": expires_at, "why": why}
    with GatewayClient() as gateway:
        made = gateway.call("POST", f"{PATH}/{quote(key_id, safe='')}/rotate", body=asked)
    print_result(made, _made(made), as_json=as_json)


@keys_app.command("revoke")
def revoke(key_id: KeyId, why: Why = None, as_json: AsJson = False) -> None:
    """Revoke a key. All gateways refuse it at once."""
    with GatewayClient() as gateway:
        revoked = gateway.call("DELETE", f"{PATH}/{quote(key_id, safe='')}", query={"why": why})
    print_result(revoked, f"{revoked['key_id']} is revoked", as_json=as_json)


def _made(made: dict[str, Any]) -> str:
    return f"{made['key']}\nThis is shown once. Its id is {made['key_id']}."
