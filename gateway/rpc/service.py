"""`taskgate.v1.TaskService`: the calls, each on the use case that the HTTP face uses, too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import grpc
import orjson
from taskgate.v1 import (
    GetRequest,
    GetResponse,
    ListRequest,
    ListResponse,
    RetryRequest,
    RetryResponse,
    StatsRequest,
    StatsResponse,
    StopRequest,
    StopResponse,
    SubmitBatchRequest,
    SubmitBatchResponse,
    SubmitRequest,
    SubmitResponse,
    Task,
    TaskStatus,
    WatchRequest,
)

from gateway.access.placement import Caller
from gateway.errors import ApiError, BodyTooLarge, InvalidRequest
from gateway.idempotency import Idempotency, check_idempotency_key
from gateway.intake import NewTask
from gateway.rpc.calls import KeyedCalls, Unbroken, apart
from gateway.rpc.failures import invalid
from gateway.rpc.gathering import Gathering
from gateway.rpc.pages import position_of, token_after
from gateway.rpc.requests import field_of, fingerprint, submission_of
from gateway.rpc.tasks import STATUS_OF, accepted_task, hidden_by, task_of
from gateway.rpc.watch import Watcher
from gateway.status.dispatch_view import DispatchView
from gateway.status.task_log import TaskFilter
from gateway.submission import SubmissionDesk, TaskSubmission

if TYPE_CHECKING:
    from gateway.bootstrap import Gateway

SERVICE = "taskgate.v1.TaskService"

_PAGE, _LARGEST_PAGE = 50, 200
#: A page is cut here (bytes): clients refuse answers of more than 4 MB unless told otherwise.
_PAGE_BYTES = 3 * 1024 * 1024

_OK = 200


@dataclass(frozen=True, slots=True)
class _Batch:
    """The tasks of a batch, checked and ready to be accepted."""

    caller: Caller
    tasks: list[NewTask]
    submissions: list[TaskSubmission]
    key: str | None


class TaskService:
    """The calls of the service. Each raises what `gateway.errors` has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._intake = gateway.intake
        self._task_log = gateway.task_log
        self._transitions = gateway.transitions
        self._view = DispatchView(gateway.database)
        self._settings = gateway.settings
        self._callback_rules = gateway.callback_rules
        self._watcher = Watcher(gateway.access, gateway.feed)
        self._unbroken = unbroken
        self._gathering = Gathering()

    def handlers(self) -> Mapping[str, grpc.RpcMethodHandler[Any, Any]]:
        """A handler for each method."""
        calls = KeyedCalls(self._access)
        return {
            "Submit": calls.unary(SubmitRequest, self.submit),
            "SubmitBatch": calls.collecting(SubmitBatchRequest, self.collect_batch, self.submit_batch),
            "Get": calls.unary(GetRequest, self.get),
            "List": calls.unary(ListRequest, self.list),
            "Retry": calls.unary(RetryRequest, self.retry),
            "Stop": calls.unary(StopRequest, self.stop),
            "Watch": calls.streaming(WatchRequest, self._watcher.watch),
            "Stats": calls.unary(StatsRequest, self.stats),
        }

    # Submitting ---------------------------------------------------------------------------------------------

    async def submit(self, authorization: str | None, request: SubmitRequest) -> SubmitResponse:
        """Accept one task."""
        async with self._gathering:
            return await self._submit(authorization, request)

    async def _submit(self, authorization: str | None, request: SubmitRequest) -> SubmitResponse:
        if not request.HasField("task"):
            raise invalid("task", "is required")
        key = _key(request.idempotency_key) if request.HasField("idempotency_key") else None
        desk = self._desk(authorization)
        submission = await apart(request.ByteSize(), self._read, request.task, "task")
        caller, task = await _prepare(desk, submission, "task")
        idempotency = None
        if key is not None:
            answer = {"task_id": task.task_id, "task_type": task.task_type, "created_at": task.created_at.isoformat()}
            idempotency = _remember(caller, key, fingerprint("Submit", [submission]), answer)
        replay = await self._unbroken.run(self._intake.submit([task], idempotency=idempotency))
        if replay is None:
            return SubmitResponse(task=accepted_task(task))
        return SubmitResponse(task=_first_accepted(orjson.loads(replay.answer)), replayed=True)

    async def collect_batch(
        self, authorization: str | None, requests: AsyncIterator[tuple[int, SubmitBatchRequest]]
    ) -> _Batch:
        """Read a batch and check it; nothing is accepted."""
        caller = await self._access.authenticate(authorization)
        desk = self._desk(authorization)
        batch = _Batch(caller, [], [], None)
        key: str | None = None
        size, first = 0, True
        async for bytes_sent, request in requests:
            size += bytes_sent
            part = request.WhichOneof("part")
            if part == "settings":
                if not first:
                    raise invalid("settings", "come first, and once")
                if request.settings.HasField("idempotency_key"):
                    key = _key(request.settings.idempotency_key, "settings.idempotency_key")
            elif part == "task":
                self._check_room(len(batch.tasks) + 1, size)
                at = f"tasks[{len(batch.tasks)}]"
                submission = await apart(bytes_sent, self._read, request.task, at)
                _, task = await _prepare(desk, submission, at)
                batch.tasks.append(task)
                batch.submissions.append(submission)
            else:
                raise invalid("part", "neither settings nor a task")
            first = False
        if not batch.tasks:
            raise invalid("task", "a batch has at least one task")
        return _Batch(caller, batch.tasks, batch.submissions, key)

    async def submit_batch(self, batch: _Batch) -> SubmitBatchResponse:
        """Accept all tasks, or none."""
        task_ids = [task.task_id for task in batch.tasks]
        idempotency = None
        if batch.key is not None:
            digest = fingerprint("SubmitBatch", batch.submissions)
            idempotency = _remember(batch.caller, batch.key, digest, {"task_ids": task_ids})
        replay = await self._unbroken.run(self._intake.submit(batch.tasks, idempotency=idempotency))
        if replay is None:
            return SubmitBatchResponse(task_ids=task_ids)
        return SubmitBatchResponse(task_ids=orjson.loads(replay.answer)["task_ids"], replayed=True)

    def _desk(self, authorization: str | None) -> SubmissionDesk:
        return SubmissionDesk(self._access, self._task_log, self._view, authorization, self._callback_rules)

    def _read(self, task: Any, at: str) -> TaskSubmission:
        return submission_of(task, max_depth=self._settings.max_json_depth, at=at)

    def _check_room(self, tasks: int, size: int) -> None:
        if tasks > self._settings.max_batch_tasks:
            raise BodyTooLarge(f"A batch is at most {self._settings.max_batch_tasks} tasks.")
        if size > self._settings.max_batch_bytes:
            raise BodyTooLarge(f"A batch is at most {self._settings.max_batch_bytes} bytes.")

    # Reading ------------------------------------------------------------------------------------------------

    async def get(self, authorization: str | None, request: GetRequest) -> GetResponse:
        """One task."""
        hidden = hidden_by(request.read_mask)
        caller = await self._access.authenticate(authorization)
        return GetResponse(task=task_of(await self._task_log.get(request.task_id, caller), hidden))

    async def list(self, authorization: str | None, request: ListRequest) -> ListResponse:
        """A page of tasks, newest first."""
        hidden = hidden_by(request.read_mask)
        if request.page_size < 0:
            raise invalid("page_size", "must not be negative")
        size = min(request.page_size or _PAGE, _LARGEST_PAGE)
        if request.status and request.status not in STATUS_OF:
            raise invalid("status", "not a status")
        which = TaskFilter(
            status=STATUS_OF.get(request.status),
            task_type=request.task_type or None,
            search=request.search or None,
            entity_id=request.entity_id or None,
            entity_type=request.entity_type or None,
            after=position_of(request),
        )
        caller = await self._access.authenticate(authorization)
        rows = await self._task_log.select(caller, which, limit=size + 1)
        response = ListResponse()
        room = _PAGE_BYTES
        for row in rows[:size]:
            task = task_of(row, hidden)
            room -= task.ByteSize()
            if room < 0 and response.tasks:
                break
            response.tasks.append(task)
        if len(response.tasks) < len(rows):
            response.next_page_token = token_after(rows[len(response.tasks) - 1], request)
        return response

    async def stats(self, authorization: str | None, request: StatsRequest) -> StatsResponse:
        """Figures over the caller's tasks."""
        figures = await self._task_log.stats(await self._access.authenticate(authorization))
        return StatsResponse(
            total=figures.total,
            pending=figures.pending,
            processing=figures.processing,
            completed=figures.completed,
            failed=figures.failed,
            throughput_per_minute=figures.throughput_per_minute,
            error_rate=figures.error_rate,
        )

    # Steering -----------------------------------------------------------------------------------------------

    async def retry(self, authorization: str | None, request: RetryRequest) -> RetryResponse:
        """Run a failed or stopped task again."""
        await self._task_log.get(request.task_id, await self._access.authenticate(authorization))
        await self._unbroken.run(self._transitions.retry(request.task_id))
        return RetryResponse(task=task_of(await self._task_log.get(request.task_id, None)))

    async def stop(self, authorization: str | None, request: StopRequest) -> StopResponse:
        """Stop a pending or running task."""
        await self._task_log.get(request.task_id, await self._access.authenticate(authorization))
        await self._unbroken.run(self._transitions.stop(request.task_id))
        return StopResponse(task=task_of(await self._task_log.get(request.task_id, None)))


async def _prepare(desk: SubmissionDesk, submission: TaskSubmission, at: str) -> tuple[Caller, NewTask]:
    """As the desk does; its errors say what they are about in the words of the proto."""
    try:
        return await desk.prepare(submission)
    except InvalidRequest as error:
        raise invalid(f"{at}.{field_of(error.field)}" if error.field else at, error.message) from None
    except ApiError as error:
        if at != "task":
            error.args = (f"{at}: {error.message}",)
        raise


def _key(key: str, at: str = "idempotency_key") -> str:
    try:
        check_idempotency_key(key)
    except InvalidRequest as error:
        raise invalid(at, error.message) from None
    return key


def _remember(caller: Caller, key: str, digest: str, answer: dict[str, Any]) -> Idempotency:
    return Idempotency(caller.user_id, key, digest, _OK, orjson.dumps(answer).decode())


def _first_accepted(answer: Mapping[str, Any]) -> Task:
    """The task as an earlier request with the same key was answered."""
    task = Task(task_id=answer["task_id"], task_type=answer["task_type"], status=TaskStatus.TASK_STATUS_PENDING)
    task.created_at.FromDatetime(datetime.fromisoformat(answer["created_at"]))
    return task
