"""The composition: parts, what they need, and servers that the environment names."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.env import NAMED_BY, read_env
from deploy.local.errors import StackError
from deploy.local.part import External, Part
from deploy.local.ports import free_port
from deploy.local.stack import NEEDS, SERVERS, EmbeddedStack
from deploy.local.temporal import TemporalPart


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMED_BY.values():
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_every_need_is_a_part_that_comes_before() -> None:
    names = list(NEEDS)
    for name, needs in NEEDS.items():
        assert all(names.index(need) < names.index(name) for need in needs)


def test_an_unknown_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no such part: kafka; there are postgres, "):
        EmbeddedStack(tmp_path, ["redis", "kafka"])


def test_temporal_without_postgres_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="this stack has no postgres"):
        EmbeddedStack(tmp_path, ["temporal"])


def test_two_stacks_on_free_ports_share_none(tmp_path: Path) -> None:
    stacks = [EmbeddedStack(tmp_path / name, SERVERS, ports="free") for name in ("a", "b")]
    ports = [stack.part(name).port for stack in stacks for name in SERVERS]
    assert len(set(ports)) == len(ports)


async def test_a_server_that_the_environment_names_is_used(
    tmp_path: Path, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKGATE_REDIS_URL", f"redis://127.0.0.1:{listener}/0")
    lines: list[str] = []
    stack = EmbeddedStack(tmp_path, ["redis"], report=lines.append)
    await stack.start()
    assert isinstance(stack.parts["redis"], External)
    assert lines == ["redis: using the one that TASKGATE_REDIS_URL names"]
    assert [line.state for line in await stack.status()] == ["external"]
    assert stack.environment()["TASKGATE_REDIS_URL"] == f"redis://127.0.0.1:{listener}/0"
    assert await stack.stop() == []


async def test_a_named_server_that_does_not_answer_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("TASKGATE_DATABASE_URL", "postgresql://127.0.0.1:1/x")
    stack = EmbeddedStack(tmp_path, ["postgres", "temporal"])
    with pytest.raises(StackError, match=r"postgres: nothing answers at .*, which TASKGATE_DATABASE_URL names"):
        await stack.start()


def test_a_shell_that_has_sourced_our_env_file_names_our_own_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKGATE_PORT_REDIS", str(free_port()))
    own = EmbeddedStack(tmp_path, ["redis"]).redis_url
    monkeypatch.setenv("TASKGATE_REDIS_URL", own)
    assert isinstance(EmbeddedStack(tmp_path, ["redis"]).parts["redis"], Part)


def test_a_stack_on_free_ports_takes_no_server_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKGATE_GRAPH_URL", "bolt://elsewhere:7687")
    assert isinstance(EmbeddedStack(tmp_path, ["neo4j"], ports="free").parts["neo4j"], Part)


def test_a_shell_has_the_key_that_the_command_shows(tmp_path: Path) -> None:
    stack = EmbeddedStack(tmp_path, ports="free")
    assert "TASKGATE_API_KEY" not in stack.write_env({})
    stack.write_env({"TASKGATE_ADMIN_KEY": "ms_sk_1"})
    stack.write_env({"TASKGATE_ADMIN_KEY": "ms_sk_2"})
    assert read_env(stack.env_file)["TASKGATE_API_KEY"] == "ms_sk_2"


def test_our_processes_are_told_everything(tmp_path: Path) -> None:
    stack = EmbeddedStack(tmp_path, ports="free")
    environment = stack.environment()
    assert environment["TASKGATE_DATABASE_URL"] == stack.database_url
    assert environment["TASKGATE_TEMPORAL_ADDRESS"] == stack.temporal_address
    assert environment["TASKGATE_TEMPORAL_NAMESPACE"] == "taskgate"
    assert environment["TASKGATE_FLAGS_FILE"] == str(tmp_path / "flags.json")
    assert environment["TASKGATE_URL"] == stack.part("gateway").url
    assert environment["TASKGATE_TEMPORAL_UI_URL"] == stack.part("temporal-ui").url
    assert environment["GRAPHITI_TELEMETRY_ENABLED"] == "false"


def test_the_gateways_port_is_the_http_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKGATE_PORT_HTTP", "9000")
    monkeypatch.setenv("TASKGATE_PORT_GRPC", "9001")
    environment = EmbeddedStack(tmp_path).environment()
    assert environment["TASKGATE_URL"] == "http://127.0.0.1:9000"
    assert environment["TASKGATE_GRPC_ADDRESS"] == "127.0.0.1:9001"


def test_temporal_is_given_the_database_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKGATE_DATABASE_URL", "postgresql://me:se%40cret@db.internal:6543/memstack")
    temporal = EmbeddedStack(tmp_path, ["postgres", "temporal"]).part("temporal")
    assert isinstance(temporal, TemporalPart)
    sql = temporal.sql
    assert (sql.host, sql.port, sql.user, sql.password) == ("db.internal", 6543, "me", "se@cret")


def test_a_foreign_server_on_our_default_port_is_the_one_that_is_named(
    tmp_path: Path, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.ports.DEFAULT_PORTS", {"neo4j": listener})
    monkeypatch.setenv("TASKGATE_GRAPH_URL", f"bolt://127.0.0.1:{listener}")
    assert isinstance(EmbeddedStack(tmp_path, ["neo4j"]).parts["neo4j"], External)
