"""`taskgate migration plan`: tenants moved wave by wave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from gateway.cli.client import GatewayClient
from gateway.cli.output import AlwaysJson, AsJson, fail, print_json, print_result
from gateway.cli.table import table
from gateway.cli.text import utc

plan_app = typer.Typer(help="Plans: move tenants wave by wave.", no_args_is_help=True)

PATH: Final = "/gateway/v1/migration/plans"
Name = Annotated[str, typer.Argument(help="Name of the plan")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="File with the plan, YAML or JSON")]
Why = Annotated[str, typer.Option("--why", help="Reason, for the audit log")]
OfWave = Annotated[
    int | None,
    typer.Option(
        "--wave", min=1, help="Number of the wave that is meant; the request is refused if it is not the present one"
    ),
]


@plan_app.command("list")
def list_plans(as_json: AsJson = False) -> None:
    """List plans, newest first."""
    with GatewayClient() as gateway:
        plans = gateway.get(PATH)["plans"]
    rows = [[one["name"], one["state"], f"{one['wave'] or '-'} of {len(one['waves'])}", one["says"]] for one in plans]
    print_result(plans, table(("plan", "state", "wave", "says"), rows) if rows else "there is no plan", as_json=as_json)


@plan_app.command("show")
def show(name: Name, as_json: AsJson = False) -> None:
    """Show the progress of a plan, the reason for its state, and its newest steps."""
    with GatewayClient() as gateway:
        answer = gateway.get(_path(name))
    steps = [[utc(one["at"]), one["who"], one["why"]] for one in answer["steps"][:10]]
    text = f"{_text(answer)}\n\n{table(('at', 'by', 'step'), steps)}"
    print_result(answer, text, as_json=as_json)


@plan_app.command("validate")
def validate(file: File, as_json: AsJson = False) -> None:
    """Print all errors of a plan, and the tenants that each wave would move. Exit code 2 if there are errors."""
    with GatewayClient() as gateway:
        answer = _send(gateway, "POST", f"{PATH}/validate", file)
    lines = [
        f"{file}:{fault['line'] or 1}:{fault['column'] or 1}: {fault['message']} ({fault['place'] or '/'})"
        for fault in answer["faults"]
    ]
    rows = [
        [number, one["name"], one["stage"], _whom(one), ", ".join(one["gates"]), ", ".join(one["first"]) or None]
        for number, one in enumerate(answer["waves"], 1)
    ]
    if answer["valid"]:
        lines.append(table(("wave", "name", "stage", "moves", "gates", "such as"), rows))
    lines += [f"note: {note}" for note in answer["notes"]]
    print_result(answer, "\n".join(lines), as_json=as_json)
    if not answer["valid"]:
        raise typer.Exit(2)


@plan_app.command("put")
def put(
    file: File,
    based_on: Annotated[
        int | None,
        typer.Option(
            "--based-on", min=0, help="Version that the change is based on; it is refused if there is a newer one"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create or replace a draft. No tenant moves before the plan is started."""
    from gateway.cli.yaml_text import name_in

    # Where its name cannot be read, the gateway says what is wrong with it.
    name = name_in(file.read_bytes()) or file.stem
    with GatewayClient() as gateway:
        answer = _send(gateway, "PUT", _path(name), file, based_on=based_on)
    print_result(answer, _text(answer), as_json=as_json)


@plan_app.command("schema")
def schema(as_json: AlwaysJson = False) -> None:
    """Print the JSON Schema of plans."""
    with GatewayClient() as gateway:
        print_json(gateway.get(f"{PATH}/schema"))


@plan_app.command("new")
def new(
    template: Annotated[
        str | None, typer.Option("--template", help="Template: pilot, staged (5 %, 25 %, all), tiers, or night")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the plan")] = None,
    why: Annotated[str | None, typer.Option("--why", help="Reason, for the audit log")] = None,
    stage: Annotated[str | None, typer.Option("--stage", help="Stage that tenants move to")] = None,
    tenants: Annotated[str | None, typer.Option("--tenants", help="Tenants of the pilot, separated by commas")] = None,
    zone: Annotated[str | None, typer.Option("--zone", help="Time zone of `night`, such as Europe/Berlin")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: NAME.yaml")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a plan from a template into a file. Missing values are asked for."""
    from gateway.migration.plans.errors import PlanInvalid
    from gateway.migration.plans.templates import Template, plan_of

    kind = _given(template, "Template (pilot, staged, tiers, night)", default="staged")
    if kind not in tuple(Template):
        fail(f"there is no template {kind!r}; there are {', '.join(Template)}", code=2)
    name = _given(name, "Name")
    why = _given(why, "Why")
    stage = _given(stage, "Stage", default="live")
    pilot = _given(tenants, "Tenants of the pilot", default="")
    if kind == Template.NIGHT:
        zone = _given(zone, "Time zone", default="UTC")
    chosen = [one.strip() for one in pilot.split(",") if one.strip()]
    try:
        text = plan_of(
            Template(kind), name=name, why=why, stage=stage, tenants=chosen, zone="UTC" if zone is None else zone
        )
    except PlanInvalid as error:
        fail("; ".join(f"{fault.place}: {fault.message}" for fault in error.faults), code=2)
    file = out or Path(f"{name}.yaml")
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        fail(f"{file}: {error.strerror}; write another name with --out", code=1)
    print_result(
        {"file": str(file), "document": text}, f"{file}: taskgate migration plan validate {file}", as_json=as_json
    )


@plan_app.command("start")
def start(name: Name, why: Why, as_json: AsJson = False) -> None:
    """Start a draft."""
    _act(name, as_json=as_json, act="start", why=why)


@plan_app.command("pause")
def pause(name: Name, why: Why, as_json: AsJson = False) -> None:
    """Pause a plan until it is resumed."""
    _act(name, as_json=as_json, act="pause", why=why)


@plan_app.command("resume")
def resume(name: Name, why: Why, as_json: AsJson = False) -> None:
    """Resume a paused plan."""
    _act(name, as_json=as_json, act="resume", why=why)


@plan_app.command("skip")
def skip(
    name: Name,
    why: Why,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Tenant to skip; default: the rest of the wave")
    ] = None,
    wave: OfWave = None,
    as_json: AsJson = False,
) -> None:
    """Skip a tenant, or the rest of the present wave with its gates."""
    _act(name, as_json=as_json, act="skip", why=why, tenant_id=tenant, wave=wave)


@plan_app.command("approve")
def approve(
    name: Name,
    why: Why,
    wave: Annotated[
        int,
        typer.Option(
            "--wave",
            min=1,
            help="Number of the wave that is meant; the request is refused if it is not the present one",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Approve the present wave, by its number."""
    _act(name, as_json=as_json, act="approve", why=why, wave=wave)


@plan_app.command("recount")
def recount(
    name: Name,
    why: Why,
    tenant: Annotated[str, typer.Option("--tenant", help="Tenant to count anew")],
    as_json: AsJson = False,
) -> None:
    """Count a tenant anew at the parity gate, once what made it worse is mended: earlier tasks no longer count."""
    _act(name, as_json=as_json, act="recount", why=why, tenant_id=tenant)


@plan_app.command("abort")
def abort(name: Name, why: Why, as_json: AsJson = False) -> None:
    """End a plan. Tenants that it moved stay where they are."""
    _act(name, as_json=as_json, act="abort", why=why)


@plan_app.command("rollback")
def rollback(name: Name, why: Why, as_json: AsJson = False) -> None:
    """Move all tenants that the plan has moved back to where they were."""
    _act(name, as_json=as_json, act="rollback", why=why)


def _given(value: str | None, question: str, default: str | None = None) -> str:
    """What was given, an empty text also, or the answer to a question."""
    return str(typer.prompt(question, default=default, err=True)) if value is None else value


def _act(name: str, *, as_json: bool, **asked: Any) -> None:
    with GatewayClient() as gateway:
        body = {key: value for key, value in asked.items() if value is not None}
        answer = gateway.call("POST", f"{_path(name)}/acts", body=body)
    print_result(answer, _text(answer), as_json=as_json)


def _path(name: str) -> str:
    return f"{PATH}/{quote(name, safe='')}"


def _send(gateway: GatewayClient, method: str, path: str, file: Path, **query: Any) -> Any:
    kind = "application/json" if file.suffix == ".json" else "application/yaml"
    return gateway.call(method, path, query=query, content=file.read_bytes(), headers={"Content-Type": kind})


def _whom(wave: dict[str, Any]) -> str:
    share = wave["tasks_percent"]
    return f"{wave['tenants']} tenants" if share is None else f"{share:g} % of tasks"


def _text(plan: dict[str, Any]) -> str:
    rows = [
        [
            f"{'>' if number == plan['wave'] else ' '} {number}",
            one["name"],
            one["stage"],
            _whom(one),
            *(one[name] for name in ("waiting", "moved", "left", "back", "skipped")),
        ]
        for number, one in enumerate(plan["waves"], 1)
    ]
    header = ("wave", "name", "stage", "moves", "waiting", "moved", "left", "back", "skipped")
    faults = [f"it cannot be started: {one['message']} ({one['place']})" for one in plan["faults"]]
    anew = [
        f"{one['tenant_id']} is counted from {utc(one['counts_from'])} on, by {one['who']}: {one['why']}"
        for one in plan.get("recounts", ())
    ]
    says = f"plan {plan['name']} is {plan['state']}: {plan['says']}"
    return "\n".join([says, *faults, table(header, rows), *anew])
