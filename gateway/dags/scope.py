"""Which variables an expression of a DAG may use, and their types."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.dags.definition import DagDefinition, Parameter
from gateway.dags.errors import ExpressionFault
from gateway.dags.expressions import Compiled, compile_expression, nodes_in, params_in

#: Names among which a similar one is looked for.
_COMPARED = 200


@dataclass(frozen=True, slots=True)
class Scope:
    """Everything that expressions of one definition may refer to."""

    params: Mapping[str, Parameter]
    nodes: Mapping[str, bool]
    """Name of each node, and whether it is a fan-out."""
    longest: int

    @classmethod
    def of(cls, definition: DagDefinition, longest: int) -> Scope:
        return cls(
            definition.params, {name: node.for_each is not None for name, node in definition.nodes.items()}, longest
        )

    def compile(self, source: str, *, with_item: bool = False) -> Compiled:
        """Raises `ExpressionFault`; its code is `unknown_reference` for a name that does not exist."""
        variables = {"run.id": "string", "run.started_at": "string"}
        if with_item:
            variables |= {"item": "any", "index": "integer"}
        for name in params_in(source):
            parameter = self.params.get(name)
            if parameter is None:
                raise ExpressionFault(no_such("parameter", name, self.params), code="unknown_reference")
            optional = not parameter.required and parameter.default is None
            variables[f"params.{name}"] = "any" if optional else parameter.type.value
        for name in nodes_in(source):
            if name not in self.nodes:
                raise ExpressionFault(no_such("node", name, self.nodes), code="unknown_reference")
            variables |= node_variables(name, is_fan_out=self.nodes[name])
        return compile_expression(source, variables, longest=self.longest)


def node_variables(name: str, *, is_fan_out: bool) -> dict[str, str]:
    """What can be known of another node."""
    common = {f"nodes.{name}.status": "string", f"nodes.{name}.error": "any", f"nodes.{name}.ref": "object"}
    if is_fan_out:
        return {**common, f"nodes.{name}.results": "list", f"nodes.{name}.failed": "integer"}
    return {**common, f"nodes.{name}.result": "any"}


def no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """That a name does not exist, and which one may be meant."""
    near = difflib.get_close_matches(name, list(known)[:_COMPARED], n=1)
    return f"there is no {kind} {name!r}" + (f"; perhaps {near[0]!r} is meant" if near else "")
