"""How a submission becomes a task; the same over HTTP and gRPC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

from gateway.access.access import NO_PROJECT, Access
from gateway.access.admission import Admission
from gateway.access.groups import MAINTENANCE, group_ids
from gateway.access.on_behalf import OnBehalf
from gateway.access.placement import Caller, Placement
from gateway.callbacks.address import CallbackRules, check_callback
from gateway.callbacks.errors import CallbackRefused
from gateway.errors import Forbidden, InvalidRequest
from gateway.submission.new_task import NewTask, RetryOverride
from gateway.submission.requests import LONGEST_DELAY, Retry, TaskSubmission, due_time
from gateway.tasks.queries.dispatch_view import DispatchView
from gateway.tasks.queries.task_log import TaskLog

#: Prefix by which a client names a tenant's own group.
TENANT_GROUP = "tenant:"
#: Prefix of the types of the built-in DAG's steps. A step works on any episode that its payload names.
STEP_PREFIX = "episode."


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
