"""What commands read: JSON, files, times."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.cli.output import fail


def read_text(file: Path) -> str:
    """The text of a file, `-` for standard input; one that cannot be read ends the command."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file} cannot be read ({type(error).__name__})", code=2)


def json_object(text: str, where: str) -> dict[str, Any]:
    """A JSON object; anything else ends the command."""
    value = json_value(text, where)
    if not isinstance(value, dict):
        fail(f'{where} is no JSON object; write one such as {{"name": "value"}}', code=2)
    return value


def json_value(text: str, where: str) -> Any:
    """A JSON value; anything else ends the command."""
    try:
        return json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        fail(f'{where} is no JSON ({error}); texts need double quotes, as in {{"name": "value"}}', code=2)


def _refused(constant: str) -> None:
    """Python reads `NaN` and `Infinity`, which JSON does not have."""
    raise ValueError(f"there is no {constant}")


def utc(text: str) -> str:
    """A time of the API, to the second."""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
