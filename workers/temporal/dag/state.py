"""What a run of a DAG does next: pure functions of what has happened so far.

Deterministic: imported by the workflow inside Temporal's sandbox. Everything durable about a run is in PostgreSQL; this
is the small part of it that decides.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

# States of a node.
PENDING, ASKED, OPEN, COMPLETED, FAILED, SKIPPED, BYPASSED, BROKEN = ".", "a", "o", "c", "f", "s", "b", "x"
"""FAILED: the run goes on (`on_failure: continue`). BROKEN: it does not. ASKED: it is being opened."""

_DONE = (COMPLETED, FAILED, SKIPPED, BYPASSED)

#: Tasks that are opened by one request, at most.
MOST_OPENED = 250


@dataclass(slots=True)
class _Fan:
    """A node that runs once for each item."""

    total: int
    next: int = 0
    open: set[int] = field(default_factory=set)
    again: list[int] = field(default_factory=list)
    """Items that failed in an earlier start of the run, and are wanted again."""
    failed: int = 0
    asked: bool = False

    @property
    def is_over(self) -> bool:
        return self.next >= self.total and not self.open and not self.again and not self.asked


@dataclass(slots=True)
class _Node:
    name: str
    needs: list[int]
    is_fan: bool
    width: int
    on_failure: str
    undoes: bool
    if_skipped: str
    state: str = PENDING
    unmet: int = 0
    followers: list[int] = field(default_factory=list)
    fan: _Fan | None = None


class RunState:
    """The nodes of one run. `snapshot` is what `gateway.dags.snapshot` made of PostgreSQL."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self._nodes = [_Node(*row) for row in snapshot["nodes"]]
        self._index = {node.name: i for i, node in enumerate(self._nodes)}
        self._most_open: int = snapshot["max_parallel"]
        self._finished: list[str] = []
        self._with_results: dict[str, None] = {}  # as `_finished`, and the fan-outs of which any item was completed
        self._ready: deque[int] = deque()
        self._fans: dict[int, None] = {}
        self._open = 0
        self.compensates = False
        self.undoes_items = False
        """Also a fan-out with a failed item is undone; histories of older releases go on without this."""
        self.items_wait_for_needs = False
        """Items of an earlier start wait for what their node needs and runs again; likewise."""
        self.is_failing = bool(snapshot.get("failing"))
        self._undone: set[str] = set(snapshot.get("undone", ()))
        self._undoing: set[tuple[str, int | None]] = {
            (name, position) for name, position in snapshot.get("undoing", ())
        }
        for name, state in snapshot["states"].items():
            self._restore(self._nodes[self._index[name]], state, snapshot["fans"].get(name))
        self._finished = [name for name in snapshot["finished"] if name in self._index]
        self._with_results = dict.fromkeys(self._finished)
        for i, node in enumerate(self._nodes):
            for needed in node.needs:
                self._nodes[needed].followers.append(i)
            node.unmet = sum(self._nodes[needed].state not in _DONE for needed in node.needs)
            if node.state == PENDING and node.unmet == 0:
                self._ready.append(i)
        for i, node in enumerate(self._nodes):
            if node.fan is not None and node.state == OPEN:
                self._fans[i] = None
                self._settle(i)

    @property
    def is_over(self) -> bool:
        """Nothing is open, and nothing will be."""
        return self._open == 0 and (self.is_failing or (not self._ready and not self._fans))

    @property
    def percent(self) -> int:
        """How much of the run is done."""
        done = sum(node.state in _DONE for node in self._nodes)
        return min(99, done * 100 // len(self._nodes))

    # Opening ------------------------------------------------------------------------------------------------

    def next_requests(self) -> list[list[Any]]:
        """The nodes to be opened now; each answer goes to `opened`.

        `[name, "open"]`, `[name, "skip"]`, `[name, "items", first, end]`, `[name, "again", [position…]]`.
        """
        requests: list[list[Any]] = []
        room = min(self._most_open - self._open, MOST_OPENED)
        if self.is_failing:
            return requests
        for i in list(self._fans):
            room -= self._ask_items(i, room, requests)
        while self._ready and room > 0:
            node = self._nodes[self._ready.popleft()]
            node.state = ASKED
            if self._is_passed_over(node):
                requests.append([node.name, "skip"])
            else:
                requests.append([node.name, "open"])
                room -= 1
        return requests

    def _ask_items(self, i: int, room: int, requests: list[list[Any]]) -> int:
        node = self._nodes[i]
        fan = node.fan
        assert fan is not None
        if fan.asked or (node.unmet and self.items_wait_for_needs):
            return 0
        room = min(room, node.width - len(fan.open))
        if room <= 0:
            return 0
        if fan.again:
            wanted, fan.again = fan.again[:room], fan.again[room:]
            fan.asked = True
            requests.append([node.name, "again", wanted])
            return len(wanted)
        count = min(room, fan.total - fan.next)
        if count > 0:
            fan.asked = True
            requests.append([node.name, "items", fan.next, fan.next + count])
        return max(count, 0)

    def _is_passed_over(self, node: _Node) -> bool:
        """Whether what it needs was skipped in a way that skips it too."""
        skipped = [self._nodes[needed].state == SKIPPED for needed in node.needs]
        if node.if_skipped == "run" or not skipped:
            return False
        return any(skipped) if node.if_skipped == "skip" else all(skipped)

    def opened(self, requests: list[list[Any]], answers: list[list[Any]]) -> None:
        """The answers: `[state]`; `["n", total]` for a fan-out; of items `["i", failed ones, done ones]`."""
        for request, answer in zip(requests, answers, strict=True):
            i = self._index[request[0]]
            node, kind = self._nodes[i], answer[0]
            if kind == "i":
                fan = node.fan
                assert fan is not None
                fan.asked = False
                positions = request[2] if request[1] == "again" else range(request[2], request[3])
                if request[1] == "items":
                    fan.next = request[3]
                refused, done = set(answer[1]), set(answer[2])
                fan.failed += len(refused)
                opened = [position for position in positions if position not in refused and position not in done]
                fan.open.update(opened)
                self._open += len(opened)
                if done:
                    self._with_results.setdefault(node.name)
                if refused and node.on_failure != "continue":
                    self._break(node)
                self._settle(i)
            elif kind == "n":
                node.state, node.fan = OPEN, _Fan(answer[1])
                self._fans[i] = None
                self._settle(i)
            elif kind == "o":
                node.state = OPEN
                self._open += 1
            else:
                self._end(i, kind)

    # Ends ---------------------------------------------------------------------------------------------------

    def ended(self, events: list[list[Any]]) -> None:
        """Nodes ended: `[name, position or None, state, is an undoing]`; what is known already changes nothing."""
        for name, position, state, undoes in events:
            if undoes:
                self._undoing.discard((name, position))
                continue
            i = self._index.get(name)
            if i is None:
                continue
            node = self._nodes[i]
            if node.fan is None:
                if node.state == OPEN:
                    self._open -= 1
                    self._end(i, state)
            elif position in node.fan.open:
                node.fan.open.discard(position)
                self._open -= 1
                if state == COMPLETED:
                    self._with_results.pop(node.name, None)
                    self._with_results[node.name] = None
                elif state == FAILED:
                    node.fan.failed += 1
                    if node.on_failure != "continue":
                        self._break(node)
                self._settle(i)

    def _settle(self, i: int) -> None:
        """A fan-out ends when all its items have ended."""
        node = self._nodes[i]
        if node.fan is not None and node.fan.is_over and node.state == OPEN:
            self._fans.pop(i, None)
            self._end(i, FAILED if node.fan.failed else COMPLETED)

    def _end(self, i: int, state: str) -> None:
        node = self._nodes[i]
        if state == FAILED and node.on_failure != "continue":
            self._break(node)
            node.state = BROKEN
            return
        node.state = state
        if state == COMPLETED:
            self._finished.append(node.name)
            self._with_results.setdefault(node.name)  # a fan-out stands where the last of its items was completed
        for follower in node.followers:
            other = self._nodes[follower]
            other.unmet -= 1
            if other.unmet == 0 and other.state == PENDING:
                self._ready.append(follower)

    def _break(self, node: _Node) -> None:
        self.is_failing = True
        self.compensates = self.compensates or node.on_failure == "compensate"

    # Compensation -------------------------------------------------------------------------------------------

    def next_undoing(self) -> str | None:
        """The next node to be undone, the one that finished last first; None: nothing is left to undo."""
        left = self._with_results if self.undoes_items else self._finished
        while left:
            name = left.popitem()[0] if isinstance(left, dict) else left.pop()
            node = self._nodes[self._index[name]]
            if node.undoes and node.name not in self._undone:
                return node.name
        return None

    def undoing(self, name: str, positions: list[int | None]) -> None:
        """Note that these tasks undo the node."""
        self._undone.add(name)
        self._undoing.update((name, position) for position in positions)

    @property
    def is_undoing(self) -> bool:
        return bool(self._undoing)

    def _restore(self, node: _Node, state: str, fan: list[Any] | None) -> None:
        node.state = state
        if fan is not None:
            total, following, is_open, again, failed = fan
            node.fan = _Fan(total, following, set(is_open), list(again), failed)
            self._open += len(is_open)
            if failed and node.on_failure != "continue":
                self._break(node)
        elif state == OPEN:
            self._open += 1
        elif state == FAILED and node.on_failure != "continue":
            node.state = BROKEN
            self._break(node)
