"""Built-in DAGs; each has an ordinary definition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from gateway.dags.document import parse
from gateway.dags.limits import Limits
from gateway.dags.validation import Checked, Validator, read_definition


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A built-in DAG. A change of its file needs a new `version`: open runs keep theirs."""

    name: str
    version: int

    @property
    def source(self) -> str:
        return _source(self.name)

    def checked(self) -> Checked:
        return _checked(self.name)

    def summary(self) -> dict[str, Any]:
        """As the list of DAGs shows it."""
        checked = self.checked()
        return {
            "name": self.name,
            "version": self.version,
            "latest": self.version,
            "description": checked.definition.description,
            "nodes": checked.nodes,
            "built_in": True,
        }


@cache
def _source(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")


@cache
def _checked(name: str) -> Checked:
    limits = Limits()
    document = parse(_source(name), limit=limits.document_bytes)
    return Validator(document, read_definition(document), {}, None, limits).check()


BUILT_IN: dict[str, BuiltIn] = {"episode": BuiltIn("episode", 1)}
