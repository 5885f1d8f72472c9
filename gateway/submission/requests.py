"""Requests about tasks, the same over HTTP and gRPC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.callbacks.callback import Callback
from gateway.errors import InvalidRequest
from gateway.moment import Moment

LONGEST_DELAY = timedelta(days=366)

MOST_LABELS = 32
LONGEST_LABEL_KEY = 63
LONGEST_LABEL = 255
LABEL_KEY = re.compile(rf"[a-z0-9._/-]{{1,{LONGEST_LABEL_KEY}}}")

#: Empty, it would mean none, and reach further than the caller meant.
PlaceId = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0, le=LONGEST_DELAY.total_seconds(), allow_inf_nan=False)]


class Retry(BaseModel):
    """The retry policy of one task. A field that is left out has the gateway's default.

    The pause after the first failure is `initial_seconds`. It is multiplied by `coefficient` after each further
    failure, up to `maximum_seconds`.
    """

    model_config = ConfigDict(extra="forbid")

    attempts: Annotated[
        int | None,
        Field(ge=1, le=100, description="Number of failed runs after which the task becomes a dead letter."),
    ] = None
    initial_seconds: Annotated[
        float | None,
        Field(ge=0.001, le=31 * 86400, allow_inf_nan=False, description="Pause after the first failure, in seconds."),
    ] = None
    coefficient: Annotated[
        float | None,
        Field(
            ge=1, le=100, allow_inf_nan=False, description="Factor by which the pause grows after each further failure."
        ),
    ] = None
    maximum_seconds: Annotated[
        float | None, Field(ge=0.001, le=31 * 86400, allow_inf_nan=False, description="Longest pause, in seconds.")
    ] = None

    @model_validator(mode="after")
    def _in_order(self) -> Retry:
        if self.initial_seconds and self.maximum_seconds and self.maximum_seconds < self.initial_seconds:
            raise ValueError("maximum_seconds is less than initial_seconds")
        return self


class TaskSubmission(BaseModel):
    """A task to submit. It runs as soon as possible, or at a later time (`delay_seconds` or `run_at`)."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[
        str,
        Field(
            min_length=1,
            max_length=200,
            pattern=r"^[A-Za-z0-9_.:-]+$",
            description="Task type. Decides which handler runs the task.",
        ),
    ]
    payload: dict[str, Any] = Field(
        default_factory=dict,
        description="Input of the handler. Tenants, projects and groups that it names must be the caller's.",
    )
    project_id: PlaceId | None = Field(None, description="Project that the task belongs to. Default: none.")
    tenant_id: PlaceId | None = Field(
        None,
        description="Tenant that the task belongs to. Default: the project's tenant, else the caller's own tenant.",
    )
    group_id: PlaceId | None = Field(
        None,
        description="Group of the task: the ID of a project that the caller may use, or `tenant:<tenant id>` for "
        "the tenant's own group. Default: the project's group, else the tenant's own. On Redis, "
        "tasks of one group run one after the other.",
    )
    priority: Annotated[int, Field(ge=1, le=5, description="Priority from 1 (first) to 5 (last).")] = 3
    delay_seconds: Annotated[
        float | None,
        Field(
            ge=0,
            le=LONGEST_DELAY.total_seconds(),
            allow_inf_nan=False,
            description="Seconds until the task becomes due, at most 366 days. Cannot be combined with `run_at`. "
            "Default: due now.",
        ),
    ] = None
    run_at: Moment | None = Field(
        None, description="Time at which the task becomes due, at most 366 days ahead. A time in the past means now."
    )
    parent_task_id: str | None = Field(None, description="Parent task. The caller must be allowed to see it.")
    unique_key: Annotated[
        str | None,
        Field(min_length=1, max_length=255, description="Only one active task of the tenant may have this key."),
    ] = None
    on_conflict: Literal["refuse", "return"] = Field(
        "refuse",
        description="What happens if an active task has the `unique_key`. `refuse`: status 409. `return`: status "
        "200, and the response is the active task.",
    )
    retry: Retry | None = Field(None, description="Retry policy. Default: the gateway's.")
    deadline: Moment | None = Field(
        None,
        description="If no worker has begun the task by this time, it fails and never starts. Cannot be combined "
        "with `ttl_seconds`.",
    )
    ttl_seconds: Seconds | None = Field(None, description="Like `deadline`, in seconds after the task becomes due.")
    labels: Annotated[dict[str, str], Field(max_length=MOST_LABELS)] = Field(
        default_factory=dict,
        description="Labels by which the task can be found. At most 32; a key is 1–63 of `a-z 0-9 . _ / -`, a "
        "value at most 255 characters.",
    )
    callback: Callback | None = Field(None, description="Webhook that is sent when the task ends.")

    @field_validator("labels")
    @classmethod
    def _plain_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for key, value in labels.items():
            if not LABEL_KEY.fullmatch(key):
                raise ValueError("a label's key is 1 to 63 of a-z, 0-9 and . _ / -")
            if len(value) > LONGEST_LABEL:
                raise ValueError(f"a label's value is at most {LONGEST_LABEL} characters")
        return labels


class RunAt(BaseModel):
    """A new time for a waiting task. Exactly one of the two fields is required."""

    model_config = ConfigDict(extra="forbid")
    delay_seconds: Annotated[
        float | None,
        Field(
            ge=0,
            le=LONGEST_DELAY.total_seconds(),
            allow_inf_nan=False,
            description="Seconds from now, at most 366 days. 0: now.",
        ),
    ] = None
    run_at: Moment | None = Field(
        None, description="Time at which the task becomes due, at most 366 days ahead. A time in the past means now."
    )

    def due(self) -> datetime | None:
        """When the task becomes due; None: now. Raises `InvalidRequest`."""
        if self.delay_seconds is None and self.run_at is None:
            raise InvalidRequest("Give delay_seconds or run_at.", field="run_at")
        return due_time(self.delay_seconds, self.run_at)


def due_time(delay_seconds: float | None, run_at: datetime | None) -> datetime | None:
    """When the task becomes due; None: at once. Raises `InvalidRequest`."""
    if delay_seconds is not None and run_at is not None:
        raise InvalidRequest("Give delay_seconds or run_at, not both.", field="run_at")
    now = datetime.now(UTC)
    if run_at is not None:
        if run_at - now > LONGEST_DELAY:
            raise InvalidRequest("run_at is more than a year ahead.", field="run_at")
        return run_at if run_at > now else None
    return now + timedelta(seconds=delay_seconds) if delay_seconds else None
