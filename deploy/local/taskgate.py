"""Runs the `taskgate` command of this environment."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.env import inherited
from deploy.local.errors import StackError

CHECKOUT = Path(__file__).resolve().parents[2]


def program() -> str:
    """The command that was installed beside this interpreter."""
    script = Path(sys.executable).with_name("taskgate")
    if not script.is_file():
        raise StackError(f"gateway: {script} is missing; run `make venv`")
    return str(script)


async def run(*arguments: str, environment: Mapping[str, str]) -> str:
    """Runs one command to its end and returns what it wrote to standard output."""
    process = await asyncio.create_subprocess_exec(
        program(),
        *arguments,
        env={**inherited(), **environment},
        cwd=CHECKOUT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode != 0:
        lines = [line for line in (errors or output).decode(errors="replace").splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else f"exit code {process.returncode}"
        raise StackError(f"`taskgate {' '.join(arguments)}` failed: {reason}")
    return output.decode()
