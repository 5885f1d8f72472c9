"""Loads SQL that stands in named, commented blocks: `-- name: <name>` begins a block, the next name ends it."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

_HEADER = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


class Queries:
    """The blocks of one `.sql` file as attributes."""

    def __init__(self, package: str, file: str) -> None:
        text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
        parts = _HEADER.split(text)
        self._blocks = {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}

    def __getattr__(self, name: str) -> str:
        try:
            return self._blocks[name]
        except KeyError:
            raise AttributeError(name) from None


class Conditions:
    """A condition built from blocks; `:value` in a block stands for a parameter."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self.arguments: list[Any] = []

    def add(self, block: str, *values: Any) -> None:
        """Add a condition with AND."""
        for value in values:
            self.arguments.append(value)
            block = block.replace(":value", f"${len(self.arguments)}", 1)
        self._blocks.append(block)

    def add_given(self, *blocks: tuple[str, Any]) -> None:
        """Add those whose value is not None."""
        for block, value in blocks:
            if value is not None:
                self.add(block, value)

    def __str__(self) -> str:
        return " AND ".join(self._blocks) or "true"
