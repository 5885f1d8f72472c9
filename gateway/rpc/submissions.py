"""`Submit` and `SubmitBatch`: the rules are those of `gateway.submission.service`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from taskgate.v1 import (
    SubmitBatchRequest,
    SubmitBatchResponse,
    SubmitRequest,
    SubmitResponse,
    Task,
    TaskStatus,
)

from gateway.access.placement import Caller
from gateway.errors import ApiError, BodyTooLarge, InvalidRequest, QuotaExceeded, TaskNotFound, UniqueKeyTaken
from gateway.rpc.calls import Unbroken
from gateway.rpc.failures import invalid
from gateway.rpc.parsing import BYTES_OF_A_VALUE, apart
from gateway.rpc.requests import Fingerprint, field_of, submission_of
from gateway.rpc.tasks import accepted_task, task_of
from gateway.rpc.values import Room
from gateway.submission.idempotency import Idempotency, Replay, check_idempotency_key, may_have_passed
from gateway.submission.new_task import NewTask
from gateway.submission.requests import TaskSubmission
from gateway.submission.service import SubmissionService
from gateway.submission.unique_keys import REPEATED, Holder, as_told
from gateway.tasks.queries.dispatch_view import DispatchView

if TYPE_CHECKING:
    from gateway.gateway import Gateway

_OK = 200


@dataclass(frozen=True, slots=True)
class Batch:
    """The tasks of a batch, checked and ready to be accepted."""

    caller: Caller
    tasks: list[NewTask]
    submissions: list[TaskSubmission]
    key: str | None
    fingerprint: str
    refused: ApiError | None
    """Why it is not accepted, unless it repeats one that was."""

    def answer(self, taken: Mapping[int, Holder], _over: Mapping[int, QuotaExceeded]) -> str:
        """The answer to the batch when the unique keys of these tasks were already in use.

        Raises `UniqueKeyTaken`.
        """
        ids = [task.task_id for task in self.tasks]
        own = frozenset(ids)
        for index, holder in sorted(taken.items()):
            is_own, error = holder.task_id in own, holder.taken(index)
            if not is_own:
                error = as_told(error, self.caller)
            if error.task_id is None or self.submissions[index].on_conflict != "return":
                if is_own:
                    error = UniqueKeyTaken(message=REPEATED)
                raise UniqueKeyTaken(error.task_id, index=index, message=f"tasks[{index}]: {error.message}")
            ids[index] = holder.task_id
        return orjson.dumps({"task_ids": ids, "active": sorted(taken)}).decode()


class Submitter:
    """The calls that create tasks."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._intake = gateway.intake
        self._task_log = gateway.task_log
        self._view = DispatchView(gateway.database)
        self._settings = gateway.settings
        self._callback_rules = gateway.callback_rules
        self._capabilities = gateway.capabilities
        self._unbroken = unbroken

    async def submit(self, authorization: str | None, request: SubmitRequest) -> SubmitResponse:
        """Accept one task."""
        if not request.HasField("task"):
            raise invalid("task", "is required")
        key = checked_key(request.idempotency_key) if request.HasField("idempotency_key") else None
        submission = await apart(request.ByteSize(), self.read, request.task, "task")
        digest = None
        if key is not None:
            asked = Fingerprint("Submit")
            await apart(request.ByteSize(), asked.add, submission)
            digest = asked.text()
        try:
            caller, task = await prepare(self.service(authorization), submission, "task")
        except ApiError as refused:
            _, first = await self.first_answer(authorization, key, digest, refused)
            return _first_answer(orjson.loads(first.answer))
        accepted = accepted_task(task)
        try:
            work = self._intake.submit([task], idempotency=_remember(caller, key, digest, accepted, active=False))
            replay = await self._unbroken.run(work)
        except UniqueKeyTaken as taken:
            if submission.on_conflict != "return":
                raise as_told(taken, caller) from None
            try:
                accepted = task_of(await self._task_log.get(taken.task_id or "", caller))
            except TaskNotFound:
                raise as_told(taken, caller) from None
            idempotency = _remember(caller, key, digest, accepted, active=True)
            replay = None if idempotency is None else await self._unbroken.run(self._intake.remember(idempotency))
            if replay is None:
                return SubmitResponse(task=accepted, active=True)
        if replay is None:
            return SubmitResponse(task=accepted)
        return _first_answer(orjson.loads(replay.answer))

    async def collect_batch(
        self, authorization: str | None, requests: AsyncIterator[tuple[int, SubmitBatchRequest]]
    ) -> Batch:
        """Read a batch and check it; nothing is accepted."""
        caller = await self._access.authenticate(authorization)
        service = self.service(authorization)
        tasks: list[NewTask] = []
        submissions: list[TaskSubmission] = []
        key: str | None = None
        refused: ApiError | None = None
        asked = Fingerprint("SubmitBatch")
        size, first = 0, True
        room = Room(self._settings.max_batch_bytes // BYTES_OF_A_VALUE)
        async for bytes_sent, request in requests:
            size += bytes_sent
            part = request.WhichOneof("part")
            if part == "settings":
                if not first:
                    raise invalid("settings", "come first, and once")
                if request.settings.HasField("idempotency_key"):
                    key = checked_key(request.settings.idempotency_key, "settings.idempotency_key")
            elif part == "task":
                self._check_room(len(submissions) + 1, size)
                at = f"tasks[{len(submissions)}]"
                submission = await apart(bytes_sent, self.read, request.task, at, room)
                if key is not None:
                    await apart(bytes_sent, asked.add, submission)
                submissions.append(submission)
                if refused is None:
                    try:
                        _, task = await prepare(service, submission, at)
                        tasks.append(task)
                    except ApiError as error:
                        if key is None or not may_have_passed(error):
                            raise
                        refused = error  # the rest tells whether this is a repetition
            else:
                raise invalid("part", "neither settings nor a task")
            first = False
        if not submissions:
            raise invalid("task", "a batch has at least one task")
        return Batch(caller, tasks, submissions, key, asked.text(), refused)

    async def submit_batch(self, batch: Batch) -> SubmitBatchResponse:
        """Accept all tasks, or none."""
        idempotency = None
        if batch.key is not None:
            idempotency = Idempotency(batch.caller.repeats_as, batch.key, batch.fingerprint, _OK, "")
        outcome: Replay | str | None
        if batch.refused is None:
            work = self._intake.submit_each(batch.tasks, batch.answer, idempotency)
            outcome = await self._unbroken.run(work)
        else:
            outcome = None if idempotency is None else await self._intake.first_answer(idempotency)
            if outcome is None:
                raise batch.refused
        replayed = not isinstance(outcome, str)
        answer = orjson.loads(outcome if isinstance(outcome, str) else outcome.answer)
        return SubmitBatchResponse(task_ids=answer["task_ids"], replayed=replayed, active=answer.get("active"))

    async def first_answer(
        self, authorization: str | None, key: str | None, digest: str | None, refused: ApiError
    ) -> tuple[Caller, Replay]:
        """The caller, and the answer to the earlier request that this one repeats. Raises `refused` if it does not."""
        if key is None or digest is None or not may_have_passed(refused):
            raise refused
        caller = await self._access.authenticate(authorization)
        first = await self._intake.first_answer(Idempotency(caller.repeats_as, key, digest, _OK, ""))
        if first is None:
            raise refused
        return caller, first

    def service(self, authorization: str | None) -> SubmissionService:
        """Where the submissions of one call are turned into tasks."""
        return SubmissionService(
            self._access, self._task_log, self._view, authorization, self._callback_rules, self._capabilities
        )

    def read(self, task: Any, at: str, room: Room | None = None) -> TaskSubmission:
        """What a `NewTask` asks for. Raises `InvalidFields`."""
        room = room or Room(self._settings.max_body_bytes // BYTES_OF_A_VALUE)
        return submission_of(task, max_depth=self._settings.max_json_depth, at=at, room=room)

    def _check_room(self, tasks: int, size: int) -> None:
        if tasks > self._settings.max_batch_tasks:
            raise BodyTooLarge(f"A batch is at most {self._settings.max_batch_tasks} tasks.")
        if size > self._settings.max_batch_bytes:
            raise BodyTooLarge(f"A batch is at most {self._settings.max_batch_bytes} bytes.")


async def prepare(service: SubmissionService, submission: TaskSubmission, at: str) -> tuple[Caller, NewTask]:
    """As the service does; its errors say what they are about in the words of the proto."""
    try:
        return await service.prepare(submission)
    except InvalidRequest as error:
        error.field = f"{at}.{field_of(error.field)}" if error.field else at
        raise
    except ApiError as error:
        if at != "task":
            error.args = (f"{at}: {error.message}",)
        raise


def checked_key(key: str, at: str = "idempotency_key") -> str:
    """An idempotency key. Raises `InvalidFields` for one that is out of form."""
    try:
        check_idempotency_key(key)
    except InvalidRequest as error:
        raise invalid(at, error.message) from None
    return key


def _remember(caller: Caller, key: str | None, digest: str | None, task: Task, *, active: bool) -> Idempotency | None:
    """What a call with an idempotency key leaves behind: its answer."""
    if key is None or digest is None:
        return None
    created_at = task.created_at.ToDatetime().isoformat()
    answer: dict[str, Any] = {"task_id": task.task_id, "task_type": task.task_type, "created_at": created_at}
    if active:
        answer |= {"active": True, "status": task.status}
    return Idempotency(caller.repeats_as, key, digest, _OK, orjson.dumps(answer).decode())


def _first_answer(answer: Mapping[str, Any]) -> SubmitResponse:
    """The answer that an earlier request with the same key was given."""
    status = answer.get("status", TaskStatus.TASK_STATUS_PENDING)
    task = Task(task_id=answer["task_id"], task_type=answer["task_type"], status=status)
    task.created_at.FromDatetime(datetime.fromisoformat(answer["created_at"]))
    return SubmitResponse(task=task, replayed=True, active=answer.get("active", False))
