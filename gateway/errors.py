"""The API's branch of the error tree (root: `backends.errors.TaskgateError`).

Each class carries a stable `code`, the HTTP status and the gRPC status name it is answered with. Legacy
endpoints answer `{"detail": message}`; `/gateway/v1` answers RFC 9457 problem details with
`type = "urn:taskgate:error:<code>"`.

To add an error code, add a class here, or in the `errors.py` of the folder that raises it. Its docstring is the default
message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backends.errors import TaskgateError


class ApiError(TaskgateError):
    """The request could not be carried out."""

    code = "internal"
    http_status = 500
    grpc_status = "INTERNAL"

    def __init__(self, message: str | None = None, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Whole seconds for `Retry-After` / `RetryInfo`, None when a repetition would not help."""

    @property
    def members(self) -> dict[str, Any]:
        """Further members of the problem details."""
        return {}


class Unauthenticated(ApiError):
    """Invalid API key"""

    code = "unauthenticated"
    http_status = 401
    grpc_status = "UNAUTHENTICATED"


class Forbidden(ApiError):
    """You do not have access to this resource"""

    code = "forbidden"
    http_status = 403
    grpc_status = "PERMISSION_DENIED"


class TaskNotFound(ApiError):
    """Task not found"""

    code = "task_not_found"
    http_status = 404
    grpc_status = "NOT_FOUND"


class NotFound(ApiError):
    """Not found"""

    code = "not_found"
    http_status = 404
    grpc_status = "NOT_FOUND"


class TenantNotFound(ApiError):
    """Tenant not found"""

    code = "tenant_not_found"
    http_status = 404
    grpc_status = "NOT_FOUND"


class ScheduleNotFound(ApiError):
    """Schedule not found"""

    code = "schedule_not_found"
    http_status = 404
    grpc_status = "NOT_FOUND"


class TaskNotWaiting(ApiError):
    """The time of a task can only be changed while it waits."""

    code = "task_not_waiting"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class TooManySchedules(ApiError):
    """The tenant has reached its limit of schedules."""

    code = "too_many_schedules"
    http_status = 409
    grpc_status = "RESOURCE_EXHAUSTED"


class ScheduleChanged(ApiError):
    """The schedule was changed by somebody else at the same time; try again."""

    code = "schedule_changed"
    http_status = 409
    grpc_status = "ABORTED"


class TaskNotRetryable(ApiError):
    """Task can only be retried if failed"""

    code = "task_not_retryable"
    http_status = 400
    grpc_status = "FAILED_PRECONDITION"


class TaskNotStoppable(ApiError):
    """Task can only be stopped if pending or processing"""

    code = "task_not_stoppable"
    http_status = 400
    grpc_status = "FAILED_PRECONDITION"


class InvalidRequest(ApiError):
    """The request is not valid."""

    code = "invalid_request"
    http_status = 422
    grpc_status = "INVALID_ARGUMENT"

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        """The part of the request that is not valid, None when that is no single one."""


class BodyTooLarge(ApiError):
    """The request body is too large."""

    code = "body_too_large"
    http_status = 413
    grpc_status = "RESOURCE_EXHAUSTED"


class TooManyOpen(ApiError):
    """Too many streams of this kind are open; close one, or try again later."""

    code = "too_many_open"
    http_status = 429
    grpc_status = "RESOURCE_EXHAUSTED"


class TooManyConnections(ApiError):
    """The gateway has too many connections; try again."""

    code = "too_many_connections"
    http_status = 503
    grpc_status = "UNAVAILABLE"


class TooMuchHeld(ApiError):
    """The gateway has too many large requests in memory; try again."""

    code = "too_much_held"
    http_status = 503
    grpc_status = "UNAVAILABLE"


class IdempotencyMismatch(ApiError):
    """This Idempotency-Key was used before with another request."""

    code = "idempotency_mismatch"
    http_status = 422
    grpc_status = "INVALID_ARGUMENT"


class UniqueKeyTaken(ApiError):
    """An active task has this unique_key."""

    code = "unique_key_taken"
    http_status = 409
    grpc_status = "ALREADY_EXISTS"

    def __init__(
        self,
        task_id: str | None = None,
        *,
        index: int = 0,
        message: str | None = None,
        place: tuple[str | None, str | None] = (None, None),
    ) -> None:
        super().__init__(message or (task_id and f"Task {task_id} is active and has this unique_key."))
        self.task_id = task_id
        """The active task; None: the caller may not know of it."""
        self.place = place
        """Tenant and project of that task."""
        self.index = index
        """Which of the tasks that were submitted together."""

    @property
    def members(self) -> dict[str, Any]:
        return {"task_id": self.task_id}


class QuotaExceeded(ApiError):
    """A quota is used up; nothing was accepted."""

    code = "quota_exceeded"
    http_status = 429
    grpc_status = "RESOURCE_EXHAUSTED"

    def __init__(
        self, quota: str, limit: int, *, project_id: str | None = None, never: bool = False, retry_after: int
    ) -> None:
        whose = "tenant" if project_id is None else f"project {project_id}"
        why = "is less than what was submitted at once" if never else "is used up"
        super().__init__(f"The quota {quota} of the {whose}, {limit}, {why}.", retry_after=retry_after)
        self.quota = quota
        self.limit = limit
        self.project_id = project_id

    @property
    def members(self) -> dict[str, Any]:
        return {"quota": self.quota, "limit": self.limit, "project_id": self.project_id}


class PriorityNotServed(ApiError):
    """No worker that knows priorities serves this backend; nothing was accepted."""

    code = "priority_not_served"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class TooManyAttempts(ApiError):
    """Too many attempts with keys that are not valid came from this address; try again later."""

    code = "too_many_attempts"
    http_status = 429
    grpc_status = "RESOURCE_EXHAUSTED"


class KeyRateExceeded(ApiError):
    """The key made more requests than it may."""

    code = "key_rate_exceeded"
    http_status = 429
    grpc_status = "RESOURCE_EXHAUSTED"


class KeyNotFound(ApiError):
    """Key not found"""

    code = "key_not_found"
    http_status = 404
    grpc_status = "NOT_FOUND"


class KeyNotRotatable(ApiError):
    """The key is not valid any more, or was rotated before."""

    code = "key_not_rotatable"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class KeysNotWritable(ApiError):
    """The gateway has no right to write MemStack's table of keys; see the page on keys."""

    code = "keys_not_writable"
    http_status = 503
    grpc_status = "UNAVAILABLE"


class DatabaseUnavailable(ApiError):
    """The database is not available; try again."""

    code = "database_unavailable"
    http_status = 503
    grpc_status = "UNAVAILABLE"


class DatabaseReadOnly(DatabaseUnavailable):
    """The database takes no writes, as during a fail-over; nothing was changed. Try again."""


class NothingAccepted(DatabaseUnavailable):
    """The database is not available; nothing was accepted. Try again."""


class OutcomeUnknown(DatabaseUnavailable):
    """The database did not confirm whether this was done; check before you repeat it."""

    code = "outcome_unknown"

    def __init__(
        self, message: str | None = None, *, task_ids: Sequence[str] = (), retry_after: int | None = None
    ) -> None:
        if task_ids and message is None:
            which = f"task {task_ids[0]} was" if len(task_ids) == 1 else f"these {len(task_ids)} tasks were"
            message = f"The database did not confirm whether {which} accepted; check before you submit again."
        super().__init__(message, retry_after=retry_after)
        self.task_ids = task_ids
        """The tasks that may have been accepted, all or none."""

    @property
    def members(self) -> dict[str, Any]:
        return {"task_ids": list(self.task_ids)} if self.task_ids else {}


class ShuttingDown(ApiError):
    """The gateway is shutting down; ask again."""

    code = "shutting_down"
    http_status = 503
    grpc_status = "UNAVAILABLE"


class BackendNotConfigured(ApiError):
    """The required backend is not configured."""

    code = "backend_not_configured"
    http_status = 503
    grpc_status = "UNAVAILABLE"


class UpstreamUnavailable(ApiError):
    """The MemStack API server behind the gateway does not answer."""

    code = "upstream_unavailable"
    http_status = 502
    grpc_status = "UNAVAILABLE"


class GraphUnavailable(ApiError):
    """The knowledge graph is not configured or does not answer."""

    code = "graph_unavailable"
    http_status = 503
    grpc_status = "UNAVAILABLE"
