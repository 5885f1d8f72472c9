"""Which port each part listens on: the default, the environment's, or a free one."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections.abc import Mapping
from typing import Literal

from deploy.local.errors import PortTakenError, StackError

DEFAULT_PORTS: Mapping[str, int] = {
    "http": 8080,
    "grpc": 50051,
    "postgres": 5432,
    "redis": 6379,
    "temporal": 7233,
    "temporal_2": 7234,
    "temporal_3": 7235,
    "haproxy": 7230,
    "temporal_ui": 8233,
    "neo4j": 7687,
}

# Below the range from which the kernel takes ports for outgoing connections, so that a port that was free stays free.
FREE_RANGE = range(20_000, 32_000)

PortChoice = Literal["default", "free"]

#: `mine/of` of the process that starts this one, whose children have ports apart from its own.
SHARE = "TASKGATE_PORT_SHARE"


def _of_parent() -> range:
    mine, _, of = (os.environ.get(SHARE) or "0/1").partition("/")
    return FREE_RANGE[int(mine) :: int(of)]


_given_out: set[int] = set()
_share = _of_parent()


def variable(name: str) -> str:
    """The environment variable that sets the port called `name`."""
    return f"TASKGATE_PORT_{name.upper()}"


def port(name: str, choice: PortChoice) -> int:
    """The port for `name`: its environment variable counts only for a stack on default ports."""
    if choice == "free":
        return free_port()
    text = os.environ.get(variable(name), "")
    if not text:
        return DEFAULT_PORTS[name]
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise StackError(f"{variable(name)} is {text!r}, which is not a port (1 to 65535)")
    return int(text)


def is_free(number: int) -> bool:
    """Whether a server could listen on this port of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection of the last server still in TIME_WAIT does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True


def take_share(mine: int, of: int) -> None:
    """Give out only every `of`-th port from now on: processes beside each other never give out the same one.

    Half of them are left to the processes that this one starts, which know nothing of those that it has given out.
    """
    global _share
    _share = FREE_RANGE[2 * mine :: 2 * of]
    os.environ[SHARE] = f"{2 * mine + 1}/{2 * of}"


def free_port() -> int:
    """A port that nothing listens on and that this process has not given out before."""
    for number in random.sample(_share, len(_share)):
        if number not in _given_out and is_free(number):
            _given_out.add(number)
            return number
    raise StackError(f"no free port between {_share.start} and {_share.stop}")


async def until_free(number: int, seconds: float) -> None:
    """Return as soon as the port is free, or when the time is up."""
    deadline = time.monotonic() + seconds
    while not is_free(number) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)


def require_free(part: str, number: int, setting: str) -> None:
    """Says in one line who may be in the way, instead of a server's own bind error in a log."""
    if not is_free(number):
        raise PortTakenError(
            f"{part}: port {number} is taken by a process that is not part of this stack; "
            f"stop it or choose another port with {setting}"
        )
