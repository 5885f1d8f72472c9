"""`.local/env`: a file that a shell can source, with every address and development key."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

HEADER = "# Written by the embedded stack. Use it with: set -a; . {path}; set +a\n"


def read_env(path: Path) -> dict[str, str]:
    """The variables in the file; empty when there is none."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    return parse_env(text)


def parse_env(text: str) -> dict[str, str]:
    """`KEY=VALUE` lines, quoted as for a shell; other lines are passed over."""
    variables: dict[str, str] = {}
    for line in text.splitlines():
        name, sign, value = line.strip().removeprefix("export ").partition("=")
        if sign and name.isidentifier():
            words = shlex.split(value)
            variables[name] = words[0] if words else ""
    return variables


def write_env(path: Path, variables: Mapping[str, str]) -> None:
    """Replaces the file in one step; only its owner may read the keys in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.touch(mode=0o600)
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in variables.items()]
    temporary.write_text(HEADER.format(path=path) + "".join(lines))
    temporary.replace(path)
