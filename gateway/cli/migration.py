"""`taskgate migration …`: the move from Redis to Temporal."""

from __future__ import annotations

import typer

from gateway.cli.drain import drain
from gateway.cli.migration_guardrails import guardrails_app
from gateway.cli.migration_ledger import ledger_app
from gateway.cli.migration_parity import parity_app
from gateway.cli.migration_plan import plan_app
from gateway.cli.migration_preview import dry_run, preview
from gateway.cli.migration_rampdown import rampdown
from gateway.cli.migration_rehearsal import rehearsal_app

migration_app = typer.Typer(help="The migration from Redis to Temporal. For administrators.", no_args_is_help=True)
migration_app.command("drain")(drain)
migration_app.add_typer(guardrails_app, name="guardrails")
migration_app.add_typer(ledger_app, name="ledger")
migration_app.add_typer(parity_app, name="parity")
plan_app.command("dry-run")(dry_run)
migration_app.add_typer(plan_app, name="plan")
migration_app.command("preview")(preview)
migration_app.command("rampdown")(rampdown)
migration_app.add_typer(rehearsal_app, name="rehearsal")
