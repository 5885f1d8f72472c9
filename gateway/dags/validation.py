"""Finds all faults of a definition at once, each with its position."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from gateway.dags.definition import DagDefinition, Node
from gateway.dags.document import Document, misfits, pointer
from gateway.dags.errors import DagInvalid, ExpressionFault, Faults
from gateway.dags.expressions import holes, is_whole, nodes_in
from gateway.dags.graph import downstream_of, find_cycles
from gateway.dags.limits import Limits
from gateway.dags.parameters import fits, kind_fits, type_name
from gateway.dags.scope import Scope, no_such
from gateway.tasks.run_type import BUILT_IN

_KINDS = ("type", "dag", "approval", "signal")
_TASKS_ONLY = ("retry", "timeout_seconds", "compensate")
#: Number of faults that come with a suggestion; each search for one costs milliseconds.
MOST_HINTS = 20


@dataclass(frozen=True, slots=True)
class SubDag:
    """A DAG that a node names, at the version that the node is pinned to."""

    owner: str
    name: str
    version: int
    definition: DagDefinition
    nodes: int
    depth: int


@dataclass(frozen=True, slots=True)
class Checked:
    """A valid definition, and what was worked out of it."""

    definition: DagDefinition
    needs: dict[str, list[str]]
    """Every node with the nodes it needs: those it names, and those whose results it uses."""
    subs: dict[str, SubDag]
    nodes: int
    """Nodes with those of all DAGs inside."""
    depth: int


def read_definition(document: Document) -> DagDefinition:
    """The document as models. Raises `DagInvalid` with everything that does not fit the schema."""
    try:
        return DagDefinition.model_validate(document.data)
    except ValidationError as error:
        raise DagInvalid(misfits(document, error)) from None


def subs_named(definition: DagDefinition) -> set[str]:
    """The DAGs that nodes name: `name` or `name@version`."""
    return {node.dag for node in definition.nodes.values() if node.dag is not None}


@dataclass
class Validator:
    """Checks one definition. `subs`: the DAGs it names, as far as they exist; `known_types` None: any will do."""

    document: Document
    definition: DagDefinition
    subs: Mapping[str, SubDag]
    known_types: Collection[str] | None
    limits: Limits
    faults: Faults = field(default_factory=Faults)

    def check(self) -> Checked:
        """Raises `DagInvalid` with every fault."""
        self._scope = Scope.of(self.definition, self.limits.expression_length)
        self._needs: dict[str, list[str]] = {}
        self._check_expression_count()
        self._check_params()
        for name, node in self.definition.nodes.items():
            self._check_node(name, node, pointer("/nodes", name))
        for place, text in _texts(self.definition.outputs, "/outputs"):
            self._check_text(place, text)
        self._check_graph()
        total, depth = self._check_size()
        self.faults.finish()
        subs = {name: self.subs[node.dag] for name, node in self.definition.nodes.items() if node.dag is not None}
        return Checked(self.definition, self._needs, subs, total, depth)

    def _fault(self, code: str, place: str, message: str) -> None:
        self.faults.add(self.document.fault(code, place, message))

    def _no_such(self, kind: str, name: str, known: Collection[str]) -> str:
        return no_such(kind, name, known if len(self.faults) < MOST_HINTS else ())

    def _check_expression_count(self) -> None:
        """First of all: each that is compiled takes most of a millisecond."""
        most = self.limits.expressions
        inputs = [node.input for node in self.definition.nodes.values()]
        inputs += [node.compensate.input for node in self.definition.nodes.values() if node.compensate is not None]
        if (
            sum(text.count("${") for value in [*inputs, self.definition.outputs] for _, text in _texts(value, ""))
            > most
        ):
            message = f"there are more than {most} expressions (TASKGATE_DAG_MAX_EXPRESSIONS)"
            raise DagInvalid([self.document.fault("limit", "/nodes", message)])

    def _check_params(self) -> None:
        for name, parameter in self.definition.params.items():
            if parameter.default is not None and not fits(parameter.default, parameter.type):
                place = f"{pointer('/params', name)}/default"
                found = type_name(parameter.default)
                self._fault("type_mismatch", place, f"the default is {found}, not {parameter.type}")

    # Nodes --------------------------------------------------------------------------------------------------

    def _check_node(self, name: str, node: Node, place: str) -> None:
        kinds = [kind for kind in _KINDS if getattr(node, kind) is not None]
        if len(kinds) != 1:
            which = f"has {' and '.join(kinds)}" if kinds else "has none"
            self._fault("node_kind", place, f"a node is exactly one of {', '.join(_KINDS)}; {name!r} {which}")
        if node.type is None:
            for one in _TASKS_ONLY:
                if getattr(node, one) is not None:
                    self._fault("node_kind", f"{place}/{one}", f"{one} is for nodes with a task type only")
        if node.for_each is not None and node.type is None and node.dag is None:
            self._fault("node_kind", f"{place}/for_each", "only tasks and DAGs can run once for each item")
        if node.for_each is None and node.max_parallel is not None:
            self._fault("schema", f"{place}/max_parallel", "max_parallel belongs to for_each")
        if node.max_parallel is not None and node.max_parallel > self.limits.width:
            self._fault("limit", f"{place}/max_parallel", f"at most {self.limits.width} items may run at once")
        self._check_type(node.type, f"{place}/type")
        if node.compensate is not None:
            self._check_type(node.compensate.type, f"{place}/compensate/type")
        used = self._check_expressions(node, place)
        self._check_sub(node, place)
        needs: list[str] = []
        for index, needed in enumerate(node.needs):
            where = f"{place}/needs/{index}"
            if needed not in self.definition.nodes:
                self._fault("unknown_reference", where, self._no_such("node", needed, self.definition.nodes))
            elif needed in needs:
                self._fault("schema", where, f"{needed!r} is needed twice")
            else:
                needs.append(needed)
        self._needs[name] = needs + sorted(used - set(needs))

    def _check_type(self, task_type: str | None, place: str) -> None:
        if task_type is not None and task_type.startswith(BUILT_IN):
            # Also with any types: a task that is a run would escape the limits of runs inside of runs.
            message = f"types that begin with {BUILT_IN!r} are the gateway's own; a node runs another DAG by `dag`"
            self._fault("unknown_type", place, message)
            return
        if task_type is None or self.known_types is None or task_type in self.known_types:
            return
        message = self._no_such("task type", task_type, self.known_types)
        self._fault("unknown_type", place, f"{message}: no worker has a handler for it")

    def _check_expressions(self, node: Node, place: str) -> set[str]:
        """The nodes whose results are used."""
        used: set[str] = set()
        for name, wanted in (("when", "BOOL"), ("for_each", "LIST")):
            source = getattr(node, name)
            if source is None:
                continue
            where = f"{place}/{name}"
            if self._is_long(where, source):
                continue
            source = bare(source)
            used |= nodes_in(source)
            kind = self._check_one(where, source)
            if kind is not None and kind.partition("<")[0] not in (wanted, "DYN"):
                self._fault("type_mismatch", where, f"this is {kind.lower()}, not {_WORDS[wanted]}")
        with_item = node.for_each is not None
        for where, text in _texts(node.input, f"{place}/input"):
            used |= self._check_text(where, text, with_item=with_item)
        if node.compensate is not None:
            for where, text in _texts(node.compensate.input, f"{place}/compensate/input"):
                self._check_text(where, text, with_item=with_item)
        return used & self.definition.nodes.keys()

    def _is_long(self, place: str, source: str) -> bool:
        """Looked at first: what reads an expression takes longer than in proportion to its length."""
        longest = self.limits.expression_length
        if len(source) > longest + len("${}"):
            self._fault("expression", place, f"an expression may have {longest} characters, this one has {len(source)}")
            return True
        return False

    def _check_text(self, place: str, text: str, *, with_item: bool = False) -> set[str]:
        found = holes(text)
        if text.count("${") != len(found):
            self._fault("expression", place, "a `${` has no `}` of its own")
        for source in found:
            self._check_one(place, source, with_item=with_item)
        return {name for source in found for name in nodes_in(source)}

    def _check_one(self, place: str, source: str, *, with_item: bool = False) -> str | None:
        try:
            return self._scope.compile(source, with_item=with_item).kind
        except ExpressionFault as error:
            self._fault(error.code, place, str(error))
            return None

    def _check_sub(self, node: Node, place: str) -> None:
        if node.dag is None:
            return
        sub = self.subs.get(node.dag)
        if sub is None:
            self._fault("unknown_dag", f"{place}/dag", f"there is no DAG {node.dag!r}")
            return
        params = sub.definition.params
        for name, value in node.input.items():
            where = pointer(f"{place}/input", name)
            if name not in params:
                self._fault("unknown_parameter", where, f"{no_such('parameter', name, params)} of {sub.name}")
            elif isinstance(value, str) and holes(value):
                kind = "STRING"
                if is_whole(value):
                    kind = self._kind_of(holes(value)[0], with_item=node.for_each is not None) or "DYN"
                if not kind_fits(kind, params[name].type):
                    self._fault("type_mismatch", where, f"{name!r} is {params[name].type}, this is {kind.lower()}")
            elif not fits(value, params[name].type):
                self._fault("type_mismatch", where, f"{name!r} is {params[name].type}, this is {type_name(value)}")
        for name, parameter in params.items():
            if parameter.required and parameter.default is None and name not in node.input:
                self._fault("missing_parameter", f"{place}/input", f"{sub.name} needs the parameter {name!r}")

    def _kind_of(self, source: str, *, with_item: bool) -> str | None:
        try:
            return self._scope.compile(source, with_item=with_item).kind
        except ExpressionFault:
            return None  # reported where the text was checked

    # The whole ----------------------------------------------------------------------------------------------

    def _check_graph(self) -> None:
        stuck: set[str] = set()
        for cycle in find_cycles(self._needs):
            stuck |= set(cycle)
            way = " needs ".join([*cycle, cycle[0]])
            self._fault("cycle", f"{pointer('/nodes', cycle[0])}/needs", f"a cycle: {way}")
        for name in sorted(downstream_of(self._needs, stuck)):
            self._fault("unreachable", pointer("/nodes", name), "it comes after a cycle, so it can never start")
        for name, node in self.definition.nodes.items():
            if node.when is not None and bare(node.when) == "false":
                self._fault("unreachable", f"{pointer('/nodes', name)}/when", "the condition is never true")

    def _check_size(self) -> tuple[int, int]:
        named = [node.dag for node in self.definition.nodes.values() if node.dag is not None]
        inside = [self.subs[name] for name in named if name in self.subs]
        total = len(self.definition.nodes) + sum(sub.nodes for sub in inside)
        depth = 1 + max((sub.depth for sub in inside), default=0)
        if total > self.limits.nodes:
            self._fault(
                "limit",
                "/nodes",
                f"{total} nodes (with those of DAGs inside); {self.limits.nodes} are allowed",
            )
        if depth > self.limits.depth:
            self._fault("limit", "/nodes", f"DAGs inside DAGs, {depth} deep; {self.limits.depth} are allowed")
        return total, depth


_WORDS = {"BOOL": "true or false", "LIST": "a list"}


def bare(source: str) -> str:
    """An expression that may have been written as `${ … }`."""
    return holes(source)[0] if is_whole(source) else source.strip()


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every text in a value, with its place."""
    rest = [(place, value)]
    while rest:
        where, item = rest.pop()
        if isinstance(item, str):
            yield where, item
        elif isinstance(item, dict):
            rest.extend((pointer(where, key), member) for key, member in item.items())
        elif isinstance(item, list):
            rest.extend((f"{where}/{index}", member) for index, member in enumerate(item))
