"""`taskgate dag run` and what can be done with a run."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.dag import Tenant, dag_app
from gateway.cli.output import AsJson, fail, print_json, print_result
from gateway.cli.table import table
from gateway.cli.yaml_text import yaml_value

API = "/gateway/v1/dag-runs"
Run = Annotated[str, typer.Argument(metavar="RUN_ID")]
Node = Annotated[
    str, typer.Argument(metavar="NODE", help="Path of the node: `fetch`, or `fetch[3]` for an item of a fan-out")
]

#: Exit codes of `watch` by how the run ended.
_CODES = {"completed": 0, "failed": 3, "cancelled": 4}


def add_run_commands(app: typer.Typer) -> None:
    """The commands about runs, beside those about definitions."""
    for name, command in (
        ("run", run),
        ("runs", list_runs),
        ("status", status),
        ("watch", watch),
        ("cancel", cancel),
        ("retry", retry),
        ("approve", approve),
        ("signal", signal),
        ("skip", skip),
    ):
        app.command(name)(command)


def run(
    name: str,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="A parameter as name=value; the value is YAML; repeatable")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", help="Version number or label; default: the version in use")
    ] = None,
    project: Annotated[str | None, typer.Option("--project")] = None,
    tenant: Tenant = None,
    priority: Annotated[int, typer.Option("--priority", min=1, max=5)] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Make all checks, but start nothing")] = False,
    follow: Annotated[bool, typer.Option("--watch", help="Follow the run to its end")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a run. With --watch, the exit code says how it ended."""
    body = {
        "dag": name,
        "version": version,
        "params": _parameters(param or []),
        "project_id": project,
        "tenant_id": tenant,
        "priority": priority,
    }
    with GatewayClient() as gateway:
        if dry_run:
            found = gateway.call("POST", f"{API}/preview", body=body)
            text = f"{found['dag']}@{found['version']} can run: {found['nodes']} nodes, {json.dumps(found['params'])}"
            print_result(found, text, as_json=as_json)
            return
        answer = gateway.call("POST", API, body=body)
        if not follow:
            print_result(answer, answer["run_id"], as_json=as_json)
            return
        if not as_json:
            typer.echo(answer["run_id"])
        _follow(gateway, answer["run_id"], as_json=as_json)


def list_runs(
    name: Annotated[str | None, typer.Argument(help="Only runs of this DAG")] = None,
    status: Annotated[str | None, typer.Option("--status")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest runs."""
    with GatewayClient() as gateway:
        found = gateway.get(API, dag=name, status=status, limit=limit)["runs"]
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["run_id"],
            f"{one['dag']}@{one['version']}",
            one["status"],
            one["progress"],
            one["created_at"],
            one["error"],
        )
        for one in found
    ]
    typer.echo(table(("run", "dag", "status", "%", "created", "error"), rows))


def status(run_id: Run, as_json: AsJson = False) -> None:
    """Show a run and its nodes."""
    with GatewayClient() as gateway:
        answer = gateway.get(f"{API}/{_quoted(run_id)}")
    if as_json:
        print_json(answer)
        return
    typer.echo(f"{answer['dag']}@{answer['version']}: {answer['status']}, {answer['progress']} %")
    if answer["error"]:
        typer.echo(answer["error"])
    rows = [
        (one["path"], one["type"] or one["kind"], one["status"], one["attempt"], one["progress"], _note(one))
        for one in answer["nodes"]
    ]
    typer.echo(table(("node", "type", "status", "attempt", "%", ""), rows))


def watch(run_id: Run, as_json: AsJson = False) -> None:
    """Follow a run to its end. Exit code: 0, 3 (failed) or 4 (cancelled). With --json, only the end is printed."""
    with GatewayClient() as gateway:
        _follow(gateway, run_id, as_json=as_json)


def cancel(run_id: Run, as_json: AsJson = False) -> None:
    """Cancel a run and all its nodes that are not over."""
    _post(f"{_quoted(run_id)}/cancel", as_json=as_json)


def retry(run_id: Run, as_json: AsJson = False) -> None:
    """Continue a failed or cancelled run; completed nodes keep their results."""
    _post(f"{_quoted(run_id)}/retry", as_json=as_json)


def approve(
    run_id: Run,
    node: Node,
    reject: Annotated[bool, typer.Option("--reject")] = False,
    comment: Annotated[str | None, typer.Option("--comment")] = None,
    as_json: AsJson = False,
) -> None:
    """Answer an approval."""
    body = {"approved": not reject, "comment": comment}
    _post(f"{_quoted(run_id)}/nodes/{_quoted(node)}/approve", body, as_json=as_json)


def signal(
    run_id: Run,
    name: Annotated[str, typer.Argument()],
    payload: Annotated[str, typer.Argument(help="Payload of the signal, YAML or JSON")] = "null",
    as_json: AsJson = False,
) -> None:
    """Send a signal to a run. Its payload becomes the result of the node that waits for it."""
    with GatewayClient() as gateway:
        answer = gateway.call(
            "POST",
            f"{API}/{_quoted(run_id)}/signals/{_quoted(name)}",
            body=_value(payload),
        )
    print_result(answer, ", ".join(answer["nodes"]) or "no node waits for it yet; it is kept", as_json=as_json)


def skip(run_id: Run, node: Node, why: Annotated[str, typer.Option("--why")], as_json: AsJson = False) -> None:
    """Skip a node: it counts as done, without a result. In a failed run, `retry` then continues after it."""
    _post(f"{_quoted(run_id)}/nodes/{_quoted(node)}/skip", {"reason": why}, as_json=as_json)


def _post(path: str, body: Any = None, *, as_json: bool) -> None:
    with GatewayClient() as gateway:
        answer = gateway.call("POST", f"{API}/{path}", body=body)
    print_result(answer, f"{answer['run_id']}: {answer['status']}", as_json=as_json)


def _follow(gateway: GatewayClient, run_id: str, *, as_json: bool) -> None:
    shown: dict[str, str] = {}
    for name, data in gateway.events(f"{API}/{_quoted(run_id)}/stream"):
        for node in data.get("nodes", ()):
            text = f"{node['status']}{_note(node, before=': ')}"
            if node["status"] != "pending" and shown.get(node["path"]) != text:
                shown[node["path"]] = text
                if not as_json:
                    typer.echo(f"  {node['path']}: {text}")
        if name == "end":
            print_result(data, data["status"] + (f": {data['error']}" if data["error"] else ""), as_json=as_json)
            raise typer.Exit(_CODES[data["status"]])
    fail(f"the stream ended before the run did; go on with `taskgate dag watch {run_id}`", code=1)


def _note(node: dict[str, Any], before: str = "") -> str:
    if node["items"] is not None:
        items = node["items"]
        note = f"{items['completed']} of {items['total']}" + (f", {items['failed']} failed" if items["failed"] else "")
    elif node["condition"] is False:
        note = "its condition is false"
    else:
        note = node["error"] or node["reason"] or node["waits_for"] or node["message"] or ""
    return f"{before}{note}" if note else ""


def _parameters(texts: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            fail(f"--param {text} has no `=`; write a name, `=` and a value, such as --param depth=3", code=2)
        if name in found:
            fail(f"--param {name} was given twice; write one of them", code=2)
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return yaml_value(text)
    except ValueError:
        return text


def _quoted(text: str) -> str:
    return quote(text, safe="")


add_run_commands(dag_app)
