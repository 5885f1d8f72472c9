"""`/gateway/v1/tasks/batch`: thousands of tasks in one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from gateway.access.placement import Caller
from gateway.errors import ApiError, BodyTooLarge, InvalidRequest, QuotaExceeded, UniqueKeyTaken
from gateway.http.acceptance import IDEMPOTENCY_PARAMETER, RepeatableRoute, json_answer, read_idempotency, replayed
from gateway.http.bodies import APART, MOST_ERRORS, SMALL_BYTES, Undecoded
from gateway.http.openapi_errors import Problem, problem_errors
from gateway.http.problems import invalid_answer, problem, problem_of
from gateway.http.route import gateway_of
from gateway.http.submissions import service_of
from gateway.http.unknown_fields import with_hints
from gateway.submission.new_task import NewTask
from gateway.submission.requests import TaskSubmission
from gateway.submission.service import SubmissionService
from gateway.submission.unique_keys import REPEATED, Holder, as_told
from gateway.submission.yielding import Yielding

PATH = "/gateway/v1/tasks/batch"

router = APIRouter(tags=["tasks"], route_class=RepeatableRoute)

_SUBMISSIONS = {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/TaskSubmission"}}


class TaskBatch(BaseModel):
    """Tasks to submit together."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["all", "each"] = Field(
        "all",
        description="`all`: if one task is refused, none is accepted. `each`: valid tasks are accepted, the "
        "others are refused one by one; of tasks that exceed a quota, the first ones that fit are "
        "accepted, and of tasks with the same `unique_key` the first one that fits.",
    )
    tasks: Annotated[list[Any], Field(min_length=1), WithJsonSchema(_SUBMISSIONS), APART]


class BatchItem(BaseModel):
    """The result for one task of a batch."""

    index: int = Field(description="Position of the task in the batch, from 0.")
    status: Literal["pending", "active", "refused"] = Field(
        description="`pending`: accepted. `active`: `task_id` is the active task that has the same `unique_key` "
        "(`on_conflict` is `return`). `refused`: see `error`."
    )
    task_id: str | None = None
    error: Problem | None = Field(None, description="Why the task was refused.")


class BatchAccepted(BaseModel):
    """The result for each task of a batch, in the order of the batch."""

    accepted: int = Field(description="Number of tasks that were accepted.")
    active: int = Field(
        description="Number of tasks whose `unique_key` belongs to an active task that is returned instead."
    )
    refused: int = Field(description="Number of tasks that were refused.")
    tasks: list[BatchItem]


@router.post(
    PATH,
    status_code=202,
    response_model=BatchAccepted,
    responses=problem_errors(403, 404, 409, 429),
    openapi_extra=IDEMPOTENCY_PARAMETER,
)
async def submit_batch(request: Request, batch: TaskBatch) -> Response:
    """Submit many tasks in one request and one transaction."""
    gateway = gateway_of(request)
    if len(batch.tasks) > gateway.settings.max_batch_tasks:
        raise BodyTooLarge(f"A batch is at most {gateway.settings.max_batch_tasks} tasks.")
    caller = await gateway.access.authenticate(request.headers.get("authorization"))
    reading = _Reading(
        service_of(request),
        caller,
        refuse_all=batch.mode == "all",
        largest_task=max(gateway.settings.max_body_bytes, SMALL_BYTES),
    )
    if wrong := await reading.read(batch.tasks):
        return invalid_answer(request.scope["path"], wrong)
    idempotency = await read_idempotency(request, caller, 202, b"")
    answer = await gateway.intake.submit_each(reading.tasks, reading.answer, idempotency, whole=batch.mode == "all")
    return json_answer(answer.encode(), 202) if isinstance(answer, str) else replayed(answer)


class _Reading:
    """The tasks of one batch, and what is wrong with the others."""

    def __init__(self, service: SubmissionService, caller: Caller, *, refuse_all: bool, largest_task: int) -> None:
        self.tasks: list[NewTask] = []
        self._service = service
        self._caller = caller
        self._refuse_all = refuse_all
        self._largest_task = largest_task
        self._items: list[dict[str, Any]] = []
        self._submissions: list[tuple[int, TaskSubmission]] = []

    async def read(self, items: list[Any]) -> list[Any]:
        """The errors of form that refuse them all. Raises, where that does, what `SubmissionService.prepare` raises."""
        wrong: list[Any] = []
        yielding = Yielding()
        for index, item in enumerate(items):
            await yielding.pause()
            if isinstance(item, Undecoded):
                if len(item) > self._largest_task:
                    self._refuse_for(index, BodyTooLarge(f"A task of a batch is at most {self._largest_task} bytes."))
                    continue
                item = item.decode()
            try:
                submission = TaskSubmission.model_validate(item)
            except ValidationError as error:
                # Only those that are told: to guess what is meant takes long.
                told = 1 if not self._refuse_all else max(1, MOST_ERRORS - len(wrong))
                found = with_hints(TaskSubmission, error.errors(include_url=False)[:told])
                wrong += [{**each, "loc": ("body", "tasks", index, *each["loc"])} for each in found]
                text = f"{'.'.join(map(str, found[0]['loc'])) or 'task'}: {found[0]['msg']}"
                self._refuse(index, problem(422, text, InvalidRequest.code))
                continue
            if wrong and self._refuse_all:
                continue
            await self._prepare(index, submission)
        return wrong[:MOST_ERRORS] if self._refuse_all else []

    async def _prepare(self, index: int, submission: TaskSubmission) -> None:
        try:
            _, task = await self._service.prepare(submission)
        except ApiError as error:
            self._refuse_for(index, error)
        else:
            self._items.append({"index": index, "status": "pending", "task_id": task.task_id})
            self._submissions.append((index, submission))
            self.tasks.append(task)

    def _refuse_for(self, index: int, error: ApiError) -> None:
        """Raises the error if it refuses all."""
        if self._refuse_all or error.http_status >= 500:
            error.args = (f"tasks[{index}]: {error.message}",)
            raise error
        self._refuse(index, problem_of(error))

    def _refuse(self, index: int, error: dict[str, Any]) -> None:
        self._items.append(_refused(index, error))

    def answer(self, taken: Mapping[int, Holder], over: Mapping[int, QuotaExceeded]) -> str:
        """What became of each, when these of `tasks` found their unique keys taken, and those are over a quota.

        Raises `UniqueKeyTaken`.
        """
        items = {item["index"]: item for item in self._items}
        own = {task.task_id for task in self.tasks}
        for place, exceeded in over.items():
            index, _ = self._submissions[place]
            items[index] = _refused(index, {**problem_of(exceeded), "retry_after": exceeded.retry_after})
        for place, holder in taken.items():
            index, submission = self._submissions[place]
            error = holder.taken(index)
            is_own = holder.task_id in own
            if not is_own:
                error = as_told(error, self._caller)
            if error.task_id is not None and submission.on_conflict == "return":
                items[index] = {"index": index, "status": "active", "task_id": holder.task_id}
                continue
            if self._refuse_all:
                if is_own:
                    error = UniqueKeyTaken(message=REPEATED)
                raise UniqueKeyTaken(error.task_id, index=index, message=f"tasks[{index}]: {error.message}")
            items[index] = _refused(index, problem_of(error))
        ends = [item["status"] for item in items.values()]
        counts = {"accepted": ends.count("pending"), "active": ends.count("active"), "refused": ends.count("refused")}
        return orjson.dumps({**counts, "tasks": list(items.values())}).decode()


def _refused(index: int, error: dict[str, Any]) -> dict[str, Any]:
    return {"index": index, "status": "refused", "error": {**error, "instance": PATH}}
