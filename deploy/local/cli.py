"""`python -m deploy.local up|down|status`: what `make up`, `make down` and `make status` call."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.local.env import read_env
from deploy.local.errors import StackError
from deploy.local.stack import NEEDS, EmbeddedStack
from deploy.local.table import table
from deploy.local.teardown import stop_directory

TEST_VARIABLES = {
    "TASKGATE_DATABASE_URL": "TASKGATE_TEST_DATABASE_URL",
    "TASKGATE_REDIS_URL": "TASKGATE_TEST_REDIS_URL",
    "TASKGATE_TEMPORAL_ADDRESS": "TASKGATE_TEST_TEMPORAL_ADDRESS",
    "TASKGATE_TEMPORAL_NAMESPACE": "TASKGATE_TEST_TEMPORAL_NAMESPACE",
    "TASKGATE_GRAPH_URL": "TASKGATE_TEST_GRAPH_URL",
}

KEYS = ("TASKGATE_KEY_", "TASKGATE_ADMIN_KEY", "TASKGATE_PROJECT_")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; a failure is one line on standard error and code 1."""
    arguments = _parser().parse_args(argv)
    began = time.monotonic()

    def report(line: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {line}", flush=True)

    try:
        nodes: int = arguments.temporal_nodes
        stack = EmbeddedStack(arguments.dir, _chosen(arguments), arguments.ports, report=report, temporal_nodes=nodes)
        match arguments.command:
            case "up":
                asyncio.run(_up(stack, arguments.for_tests))
                report("everything is up")
            case "down":
                stopped = asyncio.run(stop_directory(arguments.dir, report))
                report("everything is down" if stopped else "nothing was running")
            case "status":
                return asyncio.run(_status(stack))
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was started goes on, `down` stops it", file=sys.stderr)
        return 130
    return 0


async def _up(stack: EmbeddedStack, for_tests: bool) -> None:
    await stack.start()
    variables = read_env(stack.env_file)
    if for_tests:
        tests = {TEST_VARIABLES[name]: value for name, value in variables.items() if name in TEST_VARIABLES}
        variables = stack.write_env(tests)
    keys = {name: value for name, value in variables.items() if name.startswith(KEYS)}
    addresses = {name: value for name, value in variables.items() if name.endswith(("_URL", "_ADDRESS"))}
    for title, chosen in (("Addresses", addresses), ("Keys and projects of the demo tenants", keys)):
        if chosen:
            print(f"\n{title}\n{table([(f'  {name}', value) for name, value in chosen.items()])}")
    print(f"\nEvery address and key is in {stack.env_file}; to use them: set -a; . {stack.env_file}; set +a")


async def _status(stack: EmbeddedStack) -> int:
    lines = await stack.status()
    print(table([(line.name, line.state, line.address, str(line.pid or "-")) for line in lines], STATUS_HEADER))
    return 0 if all(line.state in ("healthy", "external") for line in lines) else 1


STATUS_HEADER = ("part", "state", "address", "pid")


def _chosen(arguments: argparse.Namespace) -> list[str]:
    only = arguments.only or list(NEEDS)
    without = arguments.without or []
    return [name for name in only if name not in without]


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="The embedded stack.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "start what is not running, wait for health, print addresses and keys"),
        ("down", "stop what `up` started"),
        ("status", "say how each part is; exit code 1 unless all are healthy"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        default = Path(os.environ.get("TASKGATE_LOCAL_DIR", ".local"))
        command.add_argument("--dir", type=Path, default=default, help="state, logs and data (default: %(default)s)")
        command.add_argument("--only", type=_names, help=f"comma-separated parts of: {', '.join(NEEDS)}")
        command.add_argument("--without", type=_names, help="comma-separated parts to leave out")
        command.add_argument(
            "--ports", choices=("default", "free"), default="default", help="fixed ports, or any that are free"
        )
        command.add_argument(
            "--temporal-nodes", type=int, choices=(1, 2, 3), default=1, help="Temporal nodes, behind one address"
        )
        command.add_argument("--for-tests", action="store_true", help="also write TASKGATE_TEST_… variables")
    return parser
