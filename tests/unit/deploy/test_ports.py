"""Ports: defaults, the environment, free ones, and a taken one said in one line."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from deploy.local.errors import PortTakenError, StackError
from deploy.local.ports import (
    DEFAULT_PORTS,
    FREE_RANGE,
    SHARE,
    free_port,
    is_free,
    port,
    require_free,
    take_share,
    variable,
)


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_defaults_are_the_documented_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DEFAULT_PORTS:
        monkeypatch.delenv(variable(name), raising=False)
    assert (port("http", "default"), port("grpc", "default")) == (8080, 50051)


def test_the_environment_moves_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_PORT_TEMPORAL_UI", "9999")
    assert port("temporal_ui", "default") == 9999


@pytest.mark.parametrize("text", ["x", "0", "65536", "-1", "80.5"])
def test_nonsense_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_PORT_HTTP", text)
    with pytest.raises(StackError, match=r"TASKGATE_PORT_HTTP is .* not a port"):
        port("http", "default")


def test_free_ports_differ_and_are_free() -> None:
    numbers = [free_port() for _ in range(20)]
    assert len(set(numbers)) == 20
    assert all(number in FREE_RANGE and is_free(number) for number in numbers)


def test_a_taken_port_names_the_part_and_the_setting(listener: int) -> None:
    with pytest.raises(PortTakenError, match=rf"redis: port {listener} is taken .* TASKGATE_PORT_REDIS"):
        require_free("redis", listener, "TASKGATE_PORT_REDIS")


def test_processes_beside_each_other_have_ports_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so have the processes that they start, which choose among the rest."""
    given: list[set[int]] = []
    monkeypatch.setenv(SHARE, "")
    for mine in range(2):
        monkeypatch.setattr("deploy.local.ports._share", FREE_RANGE)
        take_share(mine, 2)
        given.append({free_port() for _ in range(100)})
        program = "from deploy.local.ports import free_port; print(*[free_port() for _ in range(100)])"
        said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout
        given.append({int(number) for number in said.split()})
    assert [len(numbers) for numbers in given] == [100] * 4
    assert len(set.union(*given)) == 400
    assert all(number in FREE_RANGE for numbers in given for number in numbers)
