"""Expressions: what they may do, and that nothing they do gets out of hand."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dags.errors import ExpressionFault
from gateway.dags.expressions import compile_expression, evaluate, holes, is_whole, nodes_in, render

VARIABLES = {"params.l": "list", "params.i": "integer", "params.s": "string", "nodes.a.result": "any"}
DATA: dict[str, Any] = {
    "params.l": [1, 2, 3],
    "params.i": 7,
    "params.s": "x" * 1000,
    "nodes.a.result": {"deep": {"list": [None, "é", 1.5, True]}},
}


def value_of(source: str, data: dict[str, Any] | None = None) -> Any:
    return evaluate(compile_expression(source, VARIABLES, longest=1000), data or DATA)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("params.i > 3 && size(params.l) == 3", True),
        ("params.l.map(x, x * 2)", [2, 4, 6]),
        ("nodes.a.result.deep.list", [None, "é", 1.5, True]),
        ("has(nodes.a.result.gone) ? {} : {'b': 'c'}", {"b": "c"}),
        ("duration('1m')", 60.0),
        ("timestamp('2026-01-01T00:00:00Z')", "2026-01-01T00:00:00+00:00"),
    ],
)
def test_values(source: str, value: Any) -> None:
    assert value_of(source) == value


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("params.l[9]", "index=9"),
        ("1 / 0", "divide by zero"),
        ("nodes.a.result.gone", "gone"),
        ("__import__('os')", "undeclared"),
        ("open('/etc/passwd')", "undeclared"),
        ("params.s.__class__", "cannot be the operand"),
        ("", "empty"),
        ("1 +", "Syntax error"),
        ("1 " + "+ 1" * 500, "1000 characters"),
        ("(" * 200 + "1" + ")" * 200, "recursion"),
        ("params.l.map(a, params.l.map(b, params.l.map(c, a*b*c)))", "10,000 items"),
        ("[params.s]" + ".map(a, a + a)" * 30, "times larger"),
        ("[params.s]" + ".map(a, a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a)" * 4, "times larger"),
        ("params.l.map(a, params.l)", "parts"),
        ("'\ud800'", "not text"),
    ],
    ids=lambda value: value[:30].encode("ascii", "replace").decode(),
)
def test_what_is_refused(source: str, part: str) -> None:
    data = DATA | {"params.l": list(range(900))} if "map" in source else DATA
    with pytest.raises(ExpressionFault, match=part):
        value_of(source, data)


def test_texts_with_expressions() -> None:
    given = {"a": "${ 1 }", "b": ["x ${'}'} y ${ {'q': 1} }", 5, None], "c": "no $ {hole}"}
    assert render(given, lambda source: f"<{source}>") == {
        "a": "<1>",
        "b": ["x <'}'> y <{'q': 1}>", 5, None],
        "c": "no $ {hole}",
    }
    assert is_whole(" ${ a } ")
    assert not is_whole("${a}${b}")
    assert holes("${a} and ${ b }") == ["a", "b"]


def test_which_nodes_are_meant() -> None:
    assert nodes_in("nodes.a.result + nodes . b.x + 'nodes.c' + mynodes.d + x.nodes.e") == {"a", "b"}
