"""Opens nodes: computes the tasks, inner runs and verdicts that are written for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from gateway.dags.batch import Again, Batch, ChildRun, RunFacts
from gateway.dags.definition import Node
from gateway.dags.errors import ExpressionFault
from gateway.dags.expressions import holes
from gateway.dags.limits import Limits
from gateway.dags.node_task import NodeTasks, longest_wait, waits_for
from gateway.dags.parameters import bind
from gateway.dags.paths import APPROVAL_TYPE, RUN_TYPE, SIGNAL_TYPE, path_of, task_id_of
from gateway.dags.results import Values
from gateway.dags.store import DagVersion
from gateway.dags.validation import bare

#: The state of an opened node's task, as the workflow names it.
_ENDS = {"completed": "c", "failed": "f", "stopped": "f"}


def sources(node: Node, *, whole: bool) -> Iterator[str]:
    """The expressions that opening a node evaluates: with `whole` also those that decide whether and how often."""
    if whole and node.when is not None:
        yield bare(node.when)
    if whole and node.for_each is not None:
        yield bare(node.for_each)
    rest: list[Any] = [node.input]
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            yield from holes(value)
        elif isinstance(value, dict):
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)


class Opener:
    """Opens nodes of one run into a `Batch`. `known_nodes`: what is known of their paths already."""

    def __init__(
        self,
        run: RunFacts,
        values: Values,
        known_nodes: Mapping[str, Mapping[str, Any]],
        limits: Limits,
        subs: Mapping[str, DagVersion],
    ) -> None:
        self._run = run
        self._values = values
        self._tasks = NodeTasks(run, values)
        self._known_nodes = known_nodes
        self._limits = limits
        self._subs = subs
        self.batch = Batch()

    def anew(self) -> Opener:
        """The same, with nothing to be written yet."""
        return Opener(self._run, self._values, self._known_nodes, self._limits, self._subs)

    def evaluates(self, request: Request) -> bool:
        """Whether what is asked of a node has expressions."""
        name, kind, *_ = request
        node = self._run.dag.definition.nodes[name]
        return kind != "skip" and any(True for _ in sources(node, whole=kind == "open"))

    def open(self, name: str) -> list[Any]:
        """The answer to the workflow: see `workers.temporal.dag.state`."""
        node = self._run.dag.definition.nodes[name]
        known = self._known_nodes.get(name)
        if known is not None:
            return self._known(name, known)
        condition = None
        try:
            if node.when is not None:
                condition = self._condition(node.when)
                if not condition:
                    self.batch.decide(name, name, "skipped", by="condition", condition=False)
                    return ["s"]
            if node.for_each is not None:
                items = self._items(node.for_each)
                text = orjson.dumps(items).decode()
                if len(text) > self._limits.data_bytes:
                    raise ExpressionFault(f"for_each: its items have {len(text)} bytes, too many to keep")
                self.batch.decide(name, name, "expanded", by="for_each", condition=condition, items=text)
                return ["n", len(items)]
            self._open_one(name, node, None, None, condition)
        except ExpressionFault as error:
            return self._refused(name, name, str(error), condition=condition)
        return ["o"]

    def refuse(self, request: Request, reason: str) -> list[Any]:
        """The request cannot be evaluated; what was decided before stays."""
        name, kind, *rest = request
        if kind == "skip":
            return self.skip(name)
        if kind == "open":
            return self._refused(name, name, reason)
        return _answered(
            _positions(kind, rest),
            lambda position: self._refused(path_of(name, position), name, reason, position=position),
        )

    def refuse_undoing(self, name: str, positions: list[int | None], reason: str) -> None:
        """The same for tasks that were to undo a node."""
        for position in positions:
            path = path_of(name, position, undoes=True)
            if path not in self._known_nodes:
                self.batch.decide(path, name, "refused", by="gateway", reason=reason, position=position, undoes=True)

    def skip(self, name: str) -> list[Any]:
        """What it needs was skipped."""
        known = self._known_nodes.get(name)
        if known is not None:
            return self._known(name, known, evaluates=False)
        self.batch.decide(name, name, "skipped", by="upstream")
        return ["s"]

    def open_items(self, name: str, positions: Iterable[int], items: list[Any]) -> list[Any]:
        """Opens items of a fan-out; the answer names those that failed at once, and those that are done already."""
        return _answered(positions, lambda position: self._open_item(name, position, items[position]))

    def undo(self, name: str, position: int | None, item: Any) -> bool:
        """The task that undoes a node; False: it cannot be made."""
        node = self._run.dag.definition.nodes[name]
        assert node.compensate is not None
        path = path_of(name, position, undoes=True)
        known = self._known_nodes.get(path)
        if known is not None:
            return known["verdict"] is None and known["state"] not in _ENDS
        try:
            payload = self._tasks.payload(node.compensate.type, node.compensate.input, item, position)
        except ExpressionFault as error:
            self.batch.decide(path, name, "refused", by="gateway", reason=str(error), position=position, undoes=True)
            return False
        task_id = task_id_of(self._run.run_id, path, self._run.epoch)
        self.batch.add(path, name, position=position, undoes=True, task_id=task_id)
        self.batch.tasks.append(self._tasks.task(task_id, node.compensate.type, payload, node, path))
        return True

    def _open_item(self, name: str, position: int, item: Any) -> list[Any]:
        path = path_of(name, position)
        known = self._known_nodes.get(path)
        if known is not None:
            return self._known(path, known, position, item)
        try:
            self._open_one(path, self._run.dag.definition.nodes[name], position, item, None)
        except ExpressionFault as error:
            return self._refused(path, name, str(error), position=position)
        return ["o"]

    def _refused(self, path: str, name: str, reason: str, **more: Any) -> list[Any]:
        known = self._known_nodes.get(path)
        if known is None:
            self.batch.decide(path, name, "refused", by="gateway", reason=reason, **more)
        elif not known["again"]:
            return self._known(path, known)
        else:
            self.batch.not_again.append((path, reason))
        return ["f"]

    def _known(
        self,
        path: str,
        known: Mapping[str, Any],
        position: int | None = None,
        item: Any = None,
        *,
        evaluates: bool = True,
    ) -> list[Any]:
        """Decided before: by an earlier try of this step, by a person, or in an earlier start of the run."""
        if known["verdict"] == "expanded":
            return ["n", known["items"]]
        if known["verdict"] is not None:
            return [{"skipped": "s", "bypassed": "b", "refused": "f"}[known["verdict"]]]
        node = self._run.dag.definition.nodes[path.partition("[")[0]]
        if known["again"]:
            try:
                again = self._again(path, node, position, item) if evaluates else _as_before(path, node)
            except ExpressionFault as error:
                self.batch.not_again.append((path, str(error)))
                return ["f"]
            self.batch.again.append(again)
            state = "o"
        else:
            state = _ENDS.get(known["state"], "o")
        if state == "o" and node.signal is not None:
            self.batch.signals.append(path)  # the earlier try may have ended before it gave the signal
        return [state]

    def _again(self, path: str, node: Node, position: int | None, item: Any) -> Again:
        """Its input is computed anew: the results that it reads may be others now. Raises `ExpressionFault`."""
        if node.approval is not None or node.signal is not None:
            return _as_before(path, node)
        payload = self._tasks.payload(node.type, node.input, item, position)
        if node.dag is not None:
            return Again(path, None, None, params=self._params(path.partition("[")[0], node, payload))
        assert node.type is not None
        task = self._tasks.task(task_id_of(self._run.run_id, path), node.type, payload, node, path)
        return Again(path, None, None, task)

    def _condition(self, source: str) -> bool:
        try:
            value = self._values.value(bare(source))
        except ExpressionFault as error:
            raise ExpressionFault(f"when: {error}") from None
        if not isinstance(value, bool):
            raise ExpressionFault(f"when: this is {type(value).__name__}, not true or false")
        return value

    def _items(self, source: str) -> list[Any]:
        try:
            value = self._values.value(bare(source))
        except ExpressionFault as error:
            raise ExpressionFault(f"for_each: {error}") from None
        if not isinstance(value, list):
            raise ExpressionFault(f"for_each: this is {type(value).__name__}, not a list")
        if len(value) > self._limits.items:
            raise ExpressionFault(
                f"for_each: {len(value)} items, more than {self._limits.items} (TASKGATE_DAG_MAX_ITEMS): hand each "
                "task a part of the list, or put a DAG inside that takes a part"
            )
        return value

    def _open_one(self, path: str, node: Node, position: int | None, item: Any, condition: bool | None) -> None:
        name = path.partition("[")[0]
        payload = self._tasks.payload(node.type, node.input, item, position)
        task_id = task_id_of(self._run.run_id, path)
        more = {"position": position, "task_id": task_id, "condition": condition}
        if node.dag is not None:
            self._open_run(path, name, node, payload, task_id)
            task = self._tasks.task(task_id, RUN_TYPE, {"dag": self._subs[name].name}, node, path, dag_run_id=task_id)
        elif node.approval is not None:
            message = node.approval.message
            task = self._tasks.task(task_id, APPROVAL_TYPE, {"message": message}, node, path)
        elif node.signal is not None:
            more["signal_name"] = node.signal.name
            self.batch.signals.append(path)
            task = self._tasks.task(task_id, SIGNAL_TYPE, {"signal": node.signal.name}, node, path)
        else:
            assert node.type is not None
            task = self._tasks.task(task_id, node.type, payload, node, path)
            if node.timeout_seconds is not None:
                self.batch.timeouts[task_id] = node.timeout_seconds
        self.batch.add(path, name, **more)
        self.batch.tasks.append(task)

    def _open_run(self, path: str, name: str, node: Node, payload: dict[str, Any], task_id: str) -> None:
        sub, params = self._subs[name], self._params(name, node, payload)
        priority = node.priority or self._run.priority
        self.batch.runs.append(ChildRun(task_id, sub.owner, sub.name, sub.version, params, path, priority))

    def _params(self, name: str, node: Node, payload: dict[str, Any]) -> dict[str, Any]:
        """The parameters of an inner run. Raises `ExpressionFault`."""
        sub = self._subs[name]
        params, faults = bind(sub.definition.params, {key: payload[key] for key in node.input}, "/input")
        if faults:
            raise ExpressionFault(f"input of {sub.name}@{sub.version}: " + "; ".join(fault.message for fault in faults))
        return params


def _as_before(path: str, node: Node) -> Again:
    """With the input that it had."""
    return Again(path, waits_for(node), longest_wait(node))


Request = list[Any]
"""`[node, kind, …]`: what the workflow asks of one node (see `workers.temporal.dag.state`)."""


def _positions(kind: str, rest: list[Any]) -> Iterable[int]:
    """Of the items that a request is about."""
    return list(rest[0]) if kind == "again" else range(rest[0], rest[1])


def _answered(positions: Iterable[int], answer: Callable[[int], list[Any]]) -> list[Any]:
    """The answer about items, from that about each: those that failed at once, and those that are done already."""
    refused: list[int] = []
    done: list[int] = []
    for position in positions:
        state = answer(position)[0]
        if state != "o":
            (refused if state == "f" else done).append(position)
    return ["i", refused, done]


def open_nodes(opener: Opener, requests: list[Request], items: Mapping[str, list[Any]]) -> tuple[list[Any], Batch]:
    """The answers to the requests, and the writes. It reads nothing, so it can run in a sandbox."""
    answers = []
    for name, kind, *rest in requests:
        if kind == "open":
            answers.append(opener.open(name))
        elif kind == "skip":
            answers.append(opener.skip(name))
        else:
            answers.append(opener.open_items(name, _positions(kind, rest), items[name]))
    return answers, opener.batch


def undo_node(
    opener: Opener, name: str, positions: list[int | None], items: list[Any]
) -> tuple[list[int | None], Batch]:
    """The positions whose undoing began, and what is to be written."""
    begun = [p for p in positions if opener.undo(name, p, None if p is None else items[p])]
    return begun, opener.batch
