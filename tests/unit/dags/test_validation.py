"""Every fault of a definition is found at once, and says where it is."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dags.definition import DagDefinition
from gateway.dags.document import parse
from gateway.dags.errors import DagInvalid, Fault
from gateway.dags.limits import Limits
from gateway.dags.validation import Checked, SubDag, Validator, read_definition

TYPES = {"fetch", "store", "undo"}


def check(text: str, *, limits: Limits | None = None, subs: dict[str, SubDag] | None = None) -> Checked:
    limits = limits or Limits()
    document = parse(text, limit=limits.document_bytes)
    return Validator(document, read_definition(document), subs or {}, TYPES, limits).check()


def faults(text: str, **options: Any) -> dict[str, Fault]:
    with pytest.raises(DagInvalid) as caught:
        check(text, **options)
    return {fault.place: fault for fault in caught.value.faults}


GOOD = """
name: import
params:
  urls: {type: list}
  limit: {type: integer, default: 3}
nodes:
  fetch:
    type: fetch
    for_each: params.urls
    max_parallel: 5
    input: {url: "${ item }", label: "number ${ index } of ${ params.limit }"}
    retry: {attempts: 5}
  enough:
    approval: {message: go on?}
    when: size(nodes.fetch.results) > params.limit
  store:
    type: store
    needs: [enough]
    input: {pages: "${ nodes.fetch.results }"}
    on_failure: compensate
    compensate: {type: undo, input: {stored: "${ nodes.store.result }"}}
outputs:
  stored: ${ nodes.store.result }
"""


def test_results_that_are_used_are_needed() -> None:
    checked = check(GOOD)
    assert checked.needs == {"fetch": [], "enough": ["fetch"], "store": ["enough", "fetch"]}
    assert (checked.nodes, checked.depth) == (3, 1)


def test_every_fault_at_once_with_its_line() -> None:
    found = faults(
        """
params:
  n: {type: integer, default: three}
nodes:
  a:
    type: fetsh
    needs: [b, ghost]
    when: params.n + 1
  b:
    type: store
    needs: [a]
  c:
    type: store
    needs: [b]
    input: {x: "${ nodes.nobody.result }", y: "${ params.n + 'x' }", z: "${ 1 + "}
  d:
    type: store
    dag: other
  e:
    approval: {}
    retry: {attempts: 2}
    for_each: params.n
  f:
    type: store
    when: "false"
"""
    )
    assert {place: fault.code for place, fault in found.items()} == {
        "/params/n/default": "type_mismatch",
        "/nodes/a/type": "unknown_type",
        "/nodes/a/needs/1": "unknown_reference",
        "/nodes/a/when": "type_mismatch",
        "/nodes/a/needs": "cycle",
        "/nodes/c": "unreachable",
        "/nodes/c/input/x": "unknown_reference",
        "/nodes/c/input/y": "expression",
        "/nodes/c/input/z": "expression",
        "/nodes/d": "node_kind",
        "/nodes/d/dag": "unknown_dag",
        "/nodes/e/retry": "node_kind",
        "/nodes/e/for_each": "type_mismatch",
        "/nodes/f/when": "unreachable",
    }
    assert (found["/nodes/a/type"].line, found["/nodes/a/type"].column) == (6, 5)
    assert "'fetch'" in found["/nodes/a/type"].message
    assert "a needs b needs a" in found["/nodes/a/needs"].message
    assert found["/nodes/c/input/x"].line == 15


def test_what_does_not_fit_the_schema() -> None:
    found = faults("nodes: {a: {type: fetch, when_: x, priority: 9}, 1b: {type: fetch}}\nextra: 1\nparams: []")
    assert {place: fault.code for place, fault in found.items()} == {
        "/nodes/a/when_": "unknown_field",
        "/nodes/a/priority": "schema",
        "/nodes/1b": "schema",
        "/extra": "unknown_field",
        "/params": "schema",
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        ("a: [", "syntax"),
        ("a: 1\na: 2", "duplicate_key"),
        ("nodes: !!python/object/apply:os.system ['true']", "syntax"),
        ("{? [a] : 1}", "syntax"),
        ("a: .inf", "syntax"),
        ("a: &a [*a]", "syntax"),
        ("a: 1" + "0" * 5000, "syntax"),
        ("[" * 300 + "]" * 300, "too_deep"),
        ("x" * 3_000_000, "too_large"),
    ],
    ids=lambda value: value[:20],
)
def test_texts_that_are_no_document(text: str, code: str) -> None:
    with pytest.raises(DagInvalid) as caught:
        parse(text, limit=2_000_000)
    assert code in {fault.code for fault in caught.value.faults} or (
        code == "syntax" and caught.value.faults[0].code == "too_deep"
    )


def test_aliases_that_explode_are_cut_off() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(DagInvalid) as caught:
        parse("\n".join(lines), limit=100_000)
    assert caught.value.faults[0].code == "too_large"


def test_more_parts_than_a_document_may_have_are_never_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes five seconds for a megabyte, and to count them half a second."""
    monkeypatch.delattr("yaml.compose")
    with pytest.raises(DagInvalid) as caught:
        parse("nodes: [" + "0," * 200_000 + "0]", limit=1_000_000)
    assert caught.value.faults[0].code == "too_large"


def test_merge_keys() -> None:
    document = parse("base: &b {type: fetch, priority: 2}\nnode: {<<: *b, priority: 1}", limit=1000)
    assert document.data["node"] == {"type": "fetch", "priority": 1}


def sub(nodes: int, depth: int) -> SubDag:
    definition = DagDefinition.model_validate(
        {
            "params": {"n": {"type": "integer"}, "s": {"type": "string", "default": ""}},
            "nodes": {"a": {"type": "fetch"}},
        }
    )
    return SubDag("t", "inner", 2, definition, nodes, depth)


def test_bombs_of_dags_inside_dags() -> None:
    text = "nodes: {" + ", ".join(f"n{i}: {{dag: inner, input: {{n: 1}}}}" for i in range(10)) + "}"
    found = faults(text, subs={"inner": sub(600, 4)})
    assert [fault.code for fault in found.values()] == ["limit"]
    with pytest.raises(DagInvalid) as caught:
        check(text, subs={"inner": sub(600, 4)})
    assert [fault.message for fault in caught.value.faults] == [
        "6010 nodes (with those of DAGs inside); 5000 are allowed",
        "DAGs inside DAGs, 5 deep; 4 are allowed",
    ]


def test_inputs_of_a_dag_inside_are_its_parameters() -> None:
    found = faults(
        """
params: {flag: {type: boolean}}
nodes:
  a: {dag: inner}
  b: {dag: inner, input: {n: text, m: 1}}
  c: {dag: inner, input: {n: "${ params.flag }", s: "x ${ params.flag }"}}
""",
        subs={"inner": sub(1, 1)},
    )
    assert {place: fault.code for place, fault in found.items()} == {
        "/nodes/a/input": "missing_parameter",
        "/nodes/b/input/n": "type_mismatch",
        "/nodes/b/input/m": "unknown_parameter",
        "/nodes/c/input/n": "type_mismatch",
    }


def test_thousands_of_nodes_are_checked_quickly() -> None:
    chain = "\n".join(f"  n{i}: {{type: fetch, needs: [{f'n{i - 1}' if i else ''}]}}" for i in range(5000))
    assert check(f"nodes:\n{chain}").nodes == 5000


@pytest.mark.parametrize("known", [TYPES, TYPES | {"taskgate.dag"}, None])
def test_runs_are_started_by_nodes_with_a_dag_alone(known: set[str] | None) -> None:
    """A task of such a type would start a run outside of the limits of inner runs: its own, and so without end."""
    text = """
nodes:
  a: {type: taskgate.dag, input: {dag: own}}
  b: {type: store, compensate: {type: taskgate.dag, input: {dag: own}}, on_failure: compensate}
  c: {type: taskgate.approval}
"""
    document = parse(text, limit=Limits().document_bytes)
    with pytest.raises(DagInvalid) as caught:
        Validator(document, read_definition(document), {}, known, Limits()).check()
    assert {fault.place: fault.code for fault in caught.value.faults} == {
        "/nodes/a/type": "unknown_type",
        "/nodes/b/compensate/type": "unknown_type",
        "/nodes/c/type": "unknown_type",
    }
    assert "taskgate." in caught.value.faults[0].message
