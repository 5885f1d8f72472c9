"""`Faults`: makes calls to the in-memory engine fail in the ways real engines do."""

from __future__ import annotations

from backends.errors import AnswerLost, EngineUnavailable, StartUncertain


class Faults:
    """Everything works until a test says otherwise."""

    def __init__(self) -> None:
        self.unavailable = False
        """No call reaches the engine: each raises `EngineUnavailable` and does nothing."""
        self.answers_lost = False
        """Calls are carried out, but the caller is told `StartUncertain` or `AnswerLost`."""
        self._next: dict[str, list[Exception]] = {}

    def fail_next(self, method: str, error: Exception) -> None:
        """Let the next call of this method of the port raise `error` and do nothing; several queue up."""
        self._next.setdefault(method, []).append(error)

    def before(self, method: str) -> None:
        """Called by the engine before it does anything."""
        if self._next.get(method):
            raise self._next[method].pop(0)
        if self.unavailable:
            raise EngineUnavailable()

    def after(self, method: str) -> None:
        """Called by the engine when what changes something is done."""
        if self.answers_lost:
            raise StartUncertain() if method == "start_workflow" else AnswerLost()
