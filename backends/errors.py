"""The error tree of taskgate: its root, and the branch that engines raise.

`gateway.errors` hangs the branches of the API on the same root. The docstring of a class is its
default message; `code` is the stable word that HTTP (`type`) and gRPC (`ErrorInfo.reason`) show.
"""

from __future__ import annotations

from inspect import cleandoc


class TaskgateError(Exception):
    """Something went wrong in taskgate."""

    code = "internal"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or cleandoc(type(self).__doc__ or self.code))

    @property
    def message(self) -> str:
        """On one line, whatever a client's text in it holds."""
        return " ".join(str(self.args[0]).splitlines())


class EngineError(TaskgateError):
    """The workflow engine could not do what was asked."""

    code = "engine_error"


class EngineUnavailable(EngineError):
    """The workflow engine could not be reached; nothing was changed there."""

    code = "engine_unavailable"


class StartUncertain(EngineError):
    """The workflow engine may or may not have accepted the start: ask it before deciding."""

    code = "start_uncertain"


class StartRefused(EngineError):
    """The workflow engine refuses this start, and will always refuse it."""

    code = "start_refused"


class WorkflowNotFound(EngineError):
    """The workflow engine does not know this workflow."""

    code = "workflow_not_found"


class CapabilityMissing(EngineError):
    """This workflow engine cannot do that."""

    code = "capability_missing"


class AnswerLost(EngineError):
    """The answer of the workflow engine was lost: the request may have been carried out or not; it can be repeated."""

    code = "answer_lost"


class PayloadKeyMissing(EngineError):
    """A payload was encrypted with a key that this process does not have."""

    code = "payload_key_missing"


class PayloadUnreadable(EngineError):
    """A payload of the workflow engine cannot be decrypted."""

    code = "payload_unreadable"
