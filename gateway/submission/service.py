"""Submissions: what a client may ask for, and how that becomes a task; the same over HTTP and gRPC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.access.access import NO_PROJECT, Access
from gateway.access.admission import Admission
from gateway.access.groups import MAINTENANCE, group_ids
from gateway.access.on_behalf import OnBehalf
from gateway.access.placement import Caller, Placement
from gateway.callbacks.address import CallbackRules, check_callback
from gateway.callbacks.callback import Callback
from gateway.callbacks.errors import CallbackRefused
from gateway.errors import Forbidden, InvalidRequest
from gateway.moment import Moment
from gateway.submission.new_task import NewTask, RetryOverride
from gateway.tasks.queries.dispatch_view import DispatchView
from gateway.tasks.queries.task_log import TaskLog

#: Prefix by which a client names a tenant's own group.
TENANT_GROUP = "tenant:"
#: Prefix of the types of the built-in DAG's steps. A step works on any episode that its payload names.
STEP_PREFIX = "episode."

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


class PriorityCheck(Protocol):
    """Whether the backend to which a task would go knows priorities (`gateway.dispatch.priority_check`)."""

    async def check_priority(self, priority: int, task_type: str, place: Placement) -> None:
        """Raises `PriorityNotServed`, `DatabaseUnavailable`."""


class SubmissionService:
    """Turns the submissions of one caller, known by its Authorization header, into tasks for intake.

    Made for one request: facts that were looked up for one submission of a batch are used for the others. Without
    `capabilities`, priorities are not checked against the backend: a firing of a schedule follows the flag anyway.
    """

    def __init__(
        self,
        access: Access | OnBehalf,
        task_log: TaskLog,
        view: DispatchView,
        authorization: str | None,
        callback_rules: CallbackRules,
        capabilities: PriorityCheck | None = None,
    ) -> None:
        self._access = access
        self._task_log = task_log
        self._view = view
        self._authorization = authorization
        self._callback_rules = callback_rules
        self._capabilities = capabilities
        self._admitted: dict[tuple[str | None, ...], tuple[Admission, str | None]] = {}
        self._covered: dict[tuple[str | None, ...], list[str] | None] = {}
        self._parents: set[str] = set()
        self._memories: dict[str, str | None] = {}

    async def prepare(self, submission: TaskSubmission) -> tuple[Caller, NewTask]:
        """The caller, and the task as intake takes it; nothing is accepted yet.

        Raises `Unauthenticated`, `InvalidRequest`, `CallbackRefused`, `Forbidden`, `TaskNotFound` (the parent),
        `PriorityNotServed`, `DatabaseUnavailable`.
        """
        if submission.type.startswith(STEP_PREFIX):
            message = f"{submission.type!r} is a step of the DAG `episode`: submit `add_episode`, or a run of that DAG"
            raise InvalidRequest(message, field="type")
        place = (submission.project_id, submission.tenant_id, submission.group_id)
        if place not in self._admitted:
            self._admitted[place] = await self._admit(*place)
        admission, named = self._admitted[place]
        # After the rights: a repeated request whose time has passed is answered as it was (`may_have_passed`).
        not_before = due_time(submission.delay_seconds, submission.run_at)
        expires_at = _expires_at(submission, not_before)
        group_id = named or admission.group_of(submission.type)
        parent = submission.parent_task_id or None
        if parent is not None and parent not in self._parents:
            await self._task_log.get(parent, admission.caller)
            self._parents.add(parent)
        covered = await self._groups_of(admission, submission.type, group_id)
        await self._check_payload(submission, admission, group_id, covered)
        if submission.callback is not None:
            if admission.placement.tenant_id is None:  # nobody's secret could sign it
                raise CallbackRefused("Tasks without a tenant cannot have callbacks.")
            check_callback(submission.callback.url, self._callback_rules)
        if self._capabilities is not None and not_before is None:
            await self._capabilities.check_priority(submission.priority, submission.type, admission.placement)
        task = NewTask(
            task_type=submission.type,
            group_id=group_id,
            payload={
                **submission.payload,
                "group_id": group_id,
                "tenant_id": admission.placement.tenant_id,
                "project_id": admission.placement.project_id,
                "user_id": admission.caller.user_id,
                **({"task_group_id": group_id} if submission.type == "rebuild_communities" else {}),
                **group_ids(covered),
            },
            placement=admission.placement,
            user_id=admission.caller.user_id,
            parent_task_id=parent,
            priority=submission.priority,
            not_before=not_before,
            labels=submission.labels or None,
            unique_key=submission.unique_key,
            retry=_retry(submission.retry),
            expires_at=expires_at,
            callback=None if submission.callback is None else submission.callback.stored(),
        )
        return admission.caller, task

    async def _admit(
        self, project_id: str | None, tenant_id: str | None, group_id: str | None
    ) -> tuple[Admission, str | None]:
        """The caller, the task's placement, and its group unless that follows from its type and project.

        Raises `Forbidden` for a group that is not the caller's.
        """
        if group_id is not None and not group_id.startswith(TENANT_GROUP):
            # A group that is a project is checked like one. Beside another project, both must be of one tenant.
            try:
                admission = await self._access.admit(self._authorization, project_id=group_id, tenant_id=tenant_id)
            except Forbidden:
                admission = await self._access.admit(self._authorization, project_id=project_id, tenant_id=tenant_id)
                if group_id != admission.own_group:
                    raise
                return admission, group_id
            if project_id is not None and project_id != group_id:
                placement = await self._access.place(admission.caller, project_id, tenant_id)
                if placement.tenant_id != admission.placement.tenant_id:
                    raise Forbidden("group_id belongs to another tenant than project_id")
                admission = Admission(admission.caller, placement, None, admission.own_group)
            return admission, group_id
        if group_id is not None and project_id is None and tenant_id is None:
            tenant_id = group_id.removeprefix(TENANT_GROUP)
        admission = await self._access.admit(self._authorization, project_id=project_id, tenant_id=tenant_id)
        if group_id is not None and group_id != f"{TENANT_GROUP}{admission.placement.tenant_id or ''}":
            raise Forbidden("You do not have access to this group")
        # A tenant that is given counts, also for an administrator.
        is_named = group_id is not None or (tenant_id is not None and project_id is None)
        return admission, admission.own_group if is_named else None

    async def _groups_of(self, admission: Admission, task_type: str, group_id: str) -> list[str] | None:
        place = (admission.placement.tenant_id, admission.placement.project_id, task_type, group_id)
        if place not in self._covered:
            self._covered[place] = await self._access.groups_of(admission, task_type, group_id)
        return self._covered[place]

    async def _check_payload(
        self, submission: TaskSubmission, admission: Admission, group_id: str, covered: list[str] | None
    ) -> None:
        """Handlers use tenants, projects and groups in the payload, so all of them must be the caller's."""
        payload, placement = submission.payload, admission.placement
        expected = {
            "group_id": group_id,
            "task_group_id": group_id,
            "project_id": placement.project_id,
            "tenant_id": placement.tenant_id,
            "user_id": admission.caller.user_id,
            **({"group_ids": covered} if submission.type in MAINTENANCE else {}),
        }
        for name, value in expected.items():
            if payload.get(name) not in (None, value):
                raise Forbidden(f"payload.{name} does not belong to this task")
        if (memory_id := payload.get("memory_id")) is not None:
            known = await self._project_of(memory_id) if isinstance(memory_id, str) else None
            if known is None or known != placement.project_id:
                raise Forbidden(NO_PROJECT)

    async def _project_of(self, memory_id: str) -> str | None:
        if memory_id not in self._memories:
            self._memories[memory_id] = await self._view.project_of_memory(memory_id)
        return self._memories[memory_id]


class RunAt(BaseModel):
    """A new time for a task: one of the two fields. A `run_at` in the past means now."""

    model_config = ConfigDict(extra="forbid")
    delay_seconds: Annotated[float | None, Field(ge=0, le=LONGEST_DELAY.total_seconds(), allow_inf_nan=False)] = None
    run_at: Moment | None = None

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


def _expires_at(submission: TaskSubmission, not_before: datetime | None) -> datetime | None:
    """By when the task has to start; None: whenever. Raises `InvalidRequest`."""
    if submission.deadline is not None and submission.ttl_seconds is not None:
        raise InvalidRequest("Give deadline or ttl_seconds, not both.", field="deadline")
    due = not_before or datetime.now(UTC)
    if submission.deadline is not None:
        if submission.deadline <= due:
            raise InvalidRequest("deadline is before the task could start.", field="deadline")
        if submission.deadline - due > LONGEST_DELAY:
            raise InvalidRequest("deadline is more than a year after the task's time.", field="deadline")
        return submission.deadline
    return due + timedelta(seconds=submission.ttl_seconds) if submission.ttl_seconds else None


def _retry(retry: Retry | None) -> RetryOverride | None:
    if retry is None:
        return None
    return RetryOverride(retry.attempts, retry.initial_seconds, retry.coefficient, retry.maximum_seconds)
