"""`TaskHandler` and `TaskRegistry`: the business logic that does not change (contract §7)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol


class TaskContext(Protocol):
    """The context that handlers were always given; member names are the contract's."""

    @property
    def _graphiti_client(self) -> Any: ...

    async def _schema_loader(self, project_id: str) -> tuple[Any, Any, Any] | None: ...

    async def _update_task_log(
        self,
        task_id: str,
        status: str,
        worker_id: str | None = None,
        error_message: str | None = None,
        increment_retry: bool = False,
        progress: int | None = None,
        result: dict[str, Any] | None = None,
        message: str | None = None,
    ) -> None: ...

    async def _update_memory_status(self, memory_id: str, status: Any) -> None: ...

    async def _sync_schema_from_graph_result(self, nodes: Any, edges: Any, project_id: str) -> None: ...

    async def rebuild_communities(self, task_group_id: str = "global") -> str: ...


class TaskHandler(ABC):
    """Runs the tasks of one type; raises to fail one."""

    @property
    @abstractmethod
    def task_type(self) -> str: ...

    @property
    def timeout_seconds(self) -> int:
        return 600

    @property
    def isolated(self) -> bool:
        """Whether it runs in a process of its own, so that one that leaks, blocks or crashes takes no other with it."""
        return False

    # `rehearse(self, payload, context)` is optional (docs/handlers.md). It is not defined here, so that handlers
    # without it are told apart.

    @abstractmethod
    async def process(self, payload: dict[str, Any], context: TaskContext) -> None:
        """A plain function instead of a coroutine runs in a thread; what its context has that is async waits there."""


class TaskRegistry:
    """The handlers of a worker, by task type; registering a type again replaces its handler."""

    def __init__(self) -> None:
        self._handlers: dict[str, TaskHandler] = {}

    def register(self, handler: TaskHandler) -> None:
        self._handlers[handler.task_type] = handler

    def get_handler(self, task_type: str) -> TaskHandler | None:
        return self._handlers.get(task_type)

    def get_all_handlers(self) -> dict[str, TaskHandler]:
        return dict(self._handlers)
