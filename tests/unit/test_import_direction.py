"""Imports point one way: faces → use cases → engine port; adapters know nothing of HTTP."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("gateway", "backends", "workers")

#: Who may not import whom. A prefix stands for the package and everything in it.
FACES = ("gateway.http", "gateway.rpc", "gateway.cli", "gateway.app", "gateway.bootstrap", "gateway.gateway", "fastapi")
FORBIDDEN = [
    # The port and its adapters are the bottom; adapters do not know each other.
    ("backends", ("gateway", "workers", "deploy")),
    ("backends.redis_queue", ("backends.temporal", "backends.memory")),
    ("backends.temporal", ("backends.redis_queue", "backends.memory")),
    ("backends.memory", ("backends.redis_queue", "backends.temporal")),
    # Workers run without the faces.
    ("workers", (*FACES, "deploy")),
    # Use cases know no face.
    *(
        (f"gateway.{inner}", FACES)
        for inner in (
            *("submission", "dispatch", "recovery", "ingress", "routing", "tasks", "access", "storage", "errors"),
            *("callbacks", "dead_letters", "fleet", "observability", "schedules", "dags", "operations"),
        )
    ),
    # Faces do not know each other, nor the adapters.
    ("gateway.http", ("gateway.rpc", "gateway.cli", "backends.redis_queue", "backends.temporal")),
    ("gateway.rpc", ("gateway.http", "gateway.cli", "backends.redis_queue", "backends.temporal")),
    # Only the composition root and the CLI's commands build things.
    ("gateway.http", ("gateway.cli",)),
    # What the product ships does not need the embedded stack.
    ("gateway", ("deploy", "tests")),
]


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "gen" in path.parts:
                continue
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")


@pytest.mark.parametrize(("inner", "outer"), FORBIDDEN, ids=lambda value: value if isinstance(value, str) else "")
def test_imports_point_one_way(inner: str, outer: tuple[str, ...]) -> None:
    wrong = [
        f"{module} imports {name}"
        for module, path in modules()
        if is_in(module, inner)
        for name in imported(path)
        if any(is_in(name, prefix) for prefix in outer)
    ]
    assert wrong == []


def test_the_check_sees_imports() -> None:
    """A check that finds nothing anywhere would always pass."""
    names = {name for _, path in modules() for name in imported(path)}
    assert "gateway.storage.database.Database" in names
    assert any(is_in(name, "fastapi") for name in names)
