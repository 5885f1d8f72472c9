"""Parametrises the conformance suite over every file in `factories/`.

A factory is one file named after the engine (`WorkflowEnginePort.name`) with
- `FIXTURES`: the names of the pytest fixtures it needs, e.g. `("redis_server",)`; they may be asynchronous;
- `CAPABILITIES`: what the engine must declare, so that no test is skipped unnoticed;
- `async def create(**fixtures) -> EngineHarness`, which is given their values by name;
- optionally `SKIPS`: names of tests that mean nothing for this engine, each with the reason.
Nothing else is needed to be tested.
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from backends.port import Capability, WorkflowEnginePort
from workers.testing.harness import EngineHarness

_FACTORIES = {path.stem: path for path in sorted(Path(__file__).parent.joinpath("factories").glob("*.py"))}


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"engine_factory_{name}", _FACTORIES[name])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=sorted(_FACTORIES))
def factory(request: pytest.FixtureRequest) -> tuple[ModuleType, dict[str, Any]]:
    """The factory of each engine in turn, with what it needs; not a coroutine, so that it can start servers."""
    module = _load(request.param)
    reason = getattr(module, "SKIPS", {}).get(request.node.originalname)
    if reason:
        pytest.skip(reason)
    return module, {name: request.getfixturevalue(name) for name in module.FIXTURES}


@pytest_asyncio.fixture
async def harness(factory: tuple[ModuleType, dict[str, Any]]) -> AsyncIterator[EngineHarness]:
    """A harness of its own for each test."""
    module, fixtures = factory
    made: EngineHarness = await module.create(**fixtures)
    try:
        yield made
    finally:
        await made.aclose()


@pytest.fixture
def engine(harness: EngineHarness, request: pytest.FixtureRequest) -> WorkflowEnginePort:
    """The engine under test; a test marked `needs(capability)` is skipped for engines without it."""
    for marker in request.node.iter_markers("needs"):
        for capability in marker.args:
            if capability not in harness.engine.capabilities:
                pytest.skip(f"{harness.engine.name} does not declare {Capability(capability).value}")
    return harness.engine


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*capabilities): run only on engines that declare these capabilities")
