"""The environment of the stack's processes, and `.local/env`, which a shell can source."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

# An existing server's address, by the part that is then not started.
NAMED_BY: Mapping[str, str] = {
    "postgres": "TASKGATE_DATABASE_URL",
    "redis": "TASKGATE_REDIS_URL",
    "temporal": "TASKGATE_TEMPORAL_ADDRESS",
    "neo4j": "TASKGATE_GRAPH_URL",
}

# The second line, which is no variable for `read_env`, puts `taskgate` on the path of the shell, once.
HEADER = """# Written by the embedded stack. Use it with: set -a; . {path}; set +a
case ":$PATH:" in *:{programs}:*) ;; *) PATH={programs}:$PATH ;; esac
"""


def inherited() -> dict[str, str]:
    """This process's environment without servers' addresses: which servers there are, the stack alone says."""
    return {name: value for name, value in os.environ.items() if name not in NAMED_BY.values()}


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
    programs = shlex.quote(str(Path(sys.executable).parent))
    temporary.write_text(HEADER.format(path=path, programs=programs) + "".join(lines))
    temporary.replace(path)
