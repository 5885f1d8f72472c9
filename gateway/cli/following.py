"""Streams of reports in a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

import typer

from gateway.cli.client import GatewayClient

_CLEAR: Final = "\x1b[H\x1b[2J"


def follow(path: str, text_of: Callable[[dict[str, Any]], str], *, as_json: bool, **asked: str | None) -> None:
    """Show each report that comes, until Ctrl-C: with `as_json` one object in each line. `asked`: the query."""
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    with GatewayClient() as gateway:
        try:
            for _, report in gateway.events(f"{path}?{query}" if query else path):
                if as_json:
                    typer.echo(json.dumps(report, ensure_ascii=False))
                else:
                    typer.echo((_CLEAR if sys.stdout.isatty() else "") + text_of(report))
        except KeyboardInterrupt:
            return
