"""What an engine declares decides which tests it is put to, so that it is written down a second time."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from backends.port import WorkflowEnginePort


async def test_it_declares_what_its_factory_says(
    factory: tuple[ModuleType, dict[str, Any]], engine: WorkflowEnginePort
) -> None:
    module, _ = factory
    assert engine.capabilities == module.CAPABILITIES
