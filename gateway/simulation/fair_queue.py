"""A task queue as Temporal keeps it: by priority, and within a priority each fairness key gets its share."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class _Level(Generic[T]):
    """The tasks of one priority. Keys take turns: who had least is next. Every key has weight 1."""

    __slots__ = ("_now", "_tasks", "_turns", "_used")

    def __init__(self) -> None:
        self._tasks: dict[str, deque[T]] = {}
        self._used: dict[str, float] = {}
        self._turns: list[tuple[float, str]] = []
        self._now = 0.0

    def push(self, key: str, task: T) -> None:
        waiting = self._tasks.get(key)
        if waiting is None:
            self._tasks[key] = deque((task,))
            # A new key starts where the others are: it gets nothing for the time before it came.
            heapq.heappush(self._turns, (max(self._used.get(key, 0.0), self._now), key))
        else:
            waiting.append(task)

    def pop(self) -> T:
        used, key = self._turns[0]
        self._now = used
        waiting = self._tasks[key]
        task = waiting.popleft()
        self._used[key] = used + 1
        if waiting:
            heapq.heapreplace(self._turns, (used + 1, key))
        else:
            heapq.heappop(self._turns)
            del self._tasks[key]
        return task

    def __bool__(self) -> bool:
        return bool(self._turns)


class FairQueue(Generic[T]):
    """The tasks that wait in one queue."""

    __slots__ = ("_levels", "_size")

    def __init__(self) -> None:
        self._levels: dict[int, _Level[T]] = {}
        self._size = 0

    def push(self, priority: int, key: str, task: T) -> None:
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = _Level()
            self._levels = dict(sorted(self._levels.items()))
        level.push(key, task)
        self._size += 1

    def pop(self) -> T:
        """The next task. Raises `IndexError` when none waits."""
        for level in self._levels.values():
            if level:
                self._size -= 1
                return level.pop()
        raise IndexError("nothing waits")

    def __len__(self) -> int:
        return self._size
