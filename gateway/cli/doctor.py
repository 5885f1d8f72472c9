"""`taskgate doctor`: everything that a gateway needs, looked at from outside."""

from __future__ import annotations

import asyncio
import io
import logging
from contextlib import redirect_stderr
from dataclasses import asdict

import typer

from gateway.cli.output import AsJson, print_json
from gateway.doctor.check import Check, Verdict, failed, ok
from gateway.doctor.doctor import examine
from gateway.settings import read_settings


def doctor(as_json: AsJson = False) -> None:
    """Check everything that a gateway needs, and say what to do.

    Prints one line for each check. Exit code 1 if one has failed. It reads the settings of the gateway, which need not
    run.
    """
    # What parts would log, the lines say.
    logging.basicConfig(handlers=[logging.NullHandler()])
    checks = _checks()
    bad = any(check.verdict is Verdict.FAILED for check in checks)
    if as_json:
        print_json({"status": _worst(checks), "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            typer.echo(_line(check))
    raise typer.Exit(1 if bad else 0)


def _checks() -> list[Check]:
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            settings = read_settings()
    except SystemExit:
        reason = said.getvalue().strip().removeprefix("taskgate: ")
        return [failed("settings", reason, "see `taskgate settings`")]
    return [ok("settings", "are read"), *asyncio.run(examine(settings))]


def _worst(checks: list[Check]) -> Verdict:
    return max((check.verdict for check in checks), key=list(Verdict).index)


def _line(check: Check) -> str:
    remedy = "" if check.remedy is None else f"; {check.remedy}"
    return f"{check.verdict:<8} {check.name:<13} {check.told}{remedy}"
