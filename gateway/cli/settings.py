"""`taskgate settings`: every setting, as a table."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from gateway.cli.output import AsJson, fail, print_json
from gateway.settings import SECRETS, Settings


def rows() -> list[tuple[str, str, str]]:
    """Environment variable, default, meaning."""
    prefix = Settings.model_config["env_prefix"]
    return [
        (f"{prefix}{name.upper()}", _shown(field.default), _meaning(name, field.description or ""))
        for name, field in Settings.model_fields.items()
    ]


def _meaning(name: str, description: str) -> str:
    """A secret may come by file."""
    return f"{description} (or `…_FILE`)" if name in SECRETS else description


def markdown() -> str:
    """The table of docs/settings.md."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {f'`{default}`' if default else '–'} | {meaning} |" for name, default, meaning in rows()]
    return "\n".join(lines) + "\n"


def settings(
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of docs/settings.md")] = False,
    as_json: AsJson = False,
) -> None:
    """List every setting with its environment variable, default and meaning."""
    if as_markdown and as_json:
        fail("--json and --markdown are two forms of the same; write one of them", code=2)
    if as_json:
        print_json([{"variable": name, "default": default or None, "meaning": text} for name, default, text in rows()])
        return
    if as_markdown:
        print(markdown(), end="")
        return
    width = max(len(name) for name, _, _ in rows())
    for name, default, meaning in rows():
        print(f"{name:<{width}}  {meaning}" + (f" [{default}]" if default else ""))


def _shown(value: Any) -> str:
    if value is None or value is PydanticUndefined or isinstance(value, SecretStr):
        return ""
    if isinstance(value, list | dict):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
