"""`taskgate.v1.ScheduleService`, on the use cases that HTTP uses, too."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
from taskgate.v1 import (
    BackfillScheduleRequest,
    BackfillScheduleResponse,
    CreateScheduleRequest,
    CreateScheduleResponse,
    DeleteScheduleRequest,
    DeleteScheduleResponse,
    Firing,
    GetScheduleRequest,
    GetScheduleResponse,
    ListFiringsRequest,
    ListFiringsResponse,
    ListSchedulesRequest,
    ListSchedulesResponse,
    ListScheduleTimesRequest,
    ListScheduleTimesResponse,
    PauseScheduleRequest,
    PauseScheduleResponse,
    ResumeScheduleRequest,
    ResumeScheduleResponse,
    RunScheduleRequest,
    RunScheduleResponse,
    UpdateScheduleRequest,
    UpdateScheduleResponse,
)
from taskgate.v1 import Schedule as ScheduleMessage
from taskgate.v1 import ScheduleDefinition as DefinitionMessage

from gateway.access.placement import Caller
from gateway.errors import ApiError, InvalidRequest
from gateway.rpc.calls import KeyedCalls, Method, Unbroken
from gateway.rpc.failures import invalid
from gateway.rpc.messages import checked, facts_of, fill
from gateway.rpc.pages import own_token, page_of, size_of
from gateway.rpc.requests import storable, time_of
from gateway.rpc.submissions import Submitter, checked_key, prepare
from gateway.schedules.definition import Overlap, ScheduleDefinition
from gateway.schedules.placing import prepare_placed
from gateway.schedules.redefining import redefine
from gateway.schedules.schedule import Schedule
from gateway.storage.paging import cursor_in, parts_of
from gateway.submission.idempotency import Idempotency, Replay
from gateway.submission.new_task import NewTask
from gateway.submission.requests import TaskSubmission

if TYPE_CHECKING:
    from gateway.gateway import Gateway

SERVICE = "taskgate.v1.ScheduleService"

_CREATED = 201
_LIST = "schedules"
_AT = "definition"
_DEFINITION = frozenset(DefinitionMessage.DESCRIPTOR.fields_by_name)


class ScheduleService:
    """The calls of the service. Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._intake = gateway.intake
        self._schedules = gateway.schedules
        self._submitter = Submitter(gateway, unbroken)
        self._unbroken = unbroken

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "CreateSchedule": calls.unary(CreateScheduleRequest, self.create),
            "GetSchedule": calls.unary(GetScheduleRequest, self.get),
            "ListSchedules": calls.unary(ListSchedulesRequest, self.list),
            "UpdateSchedule": calls.unary(UpdateScheduleRequest, self.update),
            "DeleteSchedule": calls.unary(DeleteScheduleRequest, self.delete),
            "PauseSchedule": calls.unary(PauseScheduleRequest, self.pause),
            "ResumeSchedule": calls.unary(ResumeScheduleRequest, self.resume),
            "RunSchedule": calls.unary(RunScheduleRequest, self.run),
            "BackfillSchedule": calls.unary(BackfillScheduleRequest, self.backfill),
            "ListScheduleTimes": calls.unary(ListScheduleTimesRequest, self.times),
            "ListFirings": calls.unary(ListFiringsRequest, self.firings),
        }

    async def create(self, authorization: str | None, request: CreateScheduleRequest) -> CreateScheduleResponse:
        """Create a schedule."""
        definition = self._definition(request)
        key = checked_key(request.idempotency_key) if request.HasField("idempotency_key") else None
        digest = None
        if key is not None:
            asked = orjson.dumps(definition.model_dump(mode="json", exclude_unset=True), option=orjson.OPT_SORT_KEYS)
            digest = hashlib.sha256(b"CreateSchedule\0" + asked).hexdigest()
        service = self._submitter.service(authorization)
        try:
            definition, caller, task = await prepare_placed(
                definition, lambda action: prepare(service, action, "definition.action")
            )
            with _own_words():
                schedule = await self._schedules.plan(definition, task.placement, caller.user_id)
        except ApiError as refused:
            return await self._first(*await self._submitter.first_answer(authorization, key, digest, refused))
        idempotency = None
        if key is not None and digest is not None:
            answer = orjson.dumps({"schedule_id": schedule.schedule_id}).decode()
            idempotency = Idempotency(caller.repeats_as, key, digest, _CREATED, answer)
        work = self._intake.submit([], idempotency=idempotency, beside=lambda db: self._schedules.insert(db, schedule))
        replay = await self._unbroken.run(work)
        if replay is not None:
            return await self._first(caller, replay)
        self._schedules.wake()
        return CreateScheduleResponse(schedule=_shown(schedule))

    async def _first(self, caller: Caller, replay: Replay) -> CreateScheduleResponse:
        """What an earlier request with the same key created, as it is now."""
        schedule = await self._schedules.get(orjson.loads(replay.answer)["schedule_id"], caller)
        return CreateScheduleResponse(schedule=_shown(schedule), replayed=True)

    async def update(self, authorization: str | None, request: UpdateScheduleRequest) -> UpdateScheduleResponse:
        """Change the definition, or the fields of it that the mask names."""
        schedule_id = storable(request.schedule_id, "schedule_id")
        wanted = frozenset(request.update_mask.paths)
        for path in wanted:
            if path not in _DEFINITION:
                raise invalid("update_mask", f"'{path[:100]}' is not a field of ScheduleDefinition")
        facts = self._facts(request.definition, wanted or _DEFINITION)

        def change(before: ScheduleDefinition) -> ScheduleDefinition:
            kept = before.model_dump(mode="json", exclude_none=True) if wanted else {}
            document = {name: value for name, value in kept.items() if name.removesuffix("_seconds") not in wanted}
            return checked(ScheduleDefinition, document | facts, _AT)

        async def prepare_action(action: TaskSubmission) -> tuple[Caller, NewTask]:
            return await prepare(self._submitter.service(authorization), action, f"{_AT}.action")

        caller = await self._access.authenticate(authorization)
        is_action_new = "action" in (wanted or _DEFINITION)
        work = redefine(self._schedules, schedule_id, caller, change, prepare_action if is_action_new else None)
        with _own_words():
            return UpdateScheduleResponse(schedule=_shown(await self._unbroken.run(work)))

    def _definition(self, request: CreateScheduleRequest) -> ScheduleDefinition:
        """What is asked for. Raises `InvalidFields`."""
        return checked(ScheduleDefinition, self._facts(request.definition, _DEFINITION), _AT)

    def _facts(self, definition: DefinitionMessage, wanted: Collection[str]) -> dict[str, Any]:
        """Those of the wanted fields that are set. Raises `InvalidFields`, also when the action is wanted and not
        set."""
        facts = facts_of(definition, _AT, skip=_DEFINITION.difference(wanted) | {"action"})
        if "action" in wanted:
            if not definition.HasField("action"):
                raise invalid(f"{_AT}.action", "is required")
            facts["action"] = self._submitter.read(definition.action, f"{_AT}.action").model_dump(exclude_unset=True)
        for spec in facts.get("specs", []):
            if isinstance(spec.get("at"), dict):
                spec["at"] = spec["at"].get("moments", [])
        return facts

    async def get(self, authorization: str | None, request: GetScheduleRequest) -> GetScheduleResponse:
        """One schedule."""
        caller = await self._access.authenticate(authorization)
        return GetScheduleResponse(schedule=_shown(await self._get(request.schedule_id, caller)))

    async def list(self, authorization: str | None, request: ListSchedulesRequest) -> ListSchedulesResponse:
        """A page, by id."""
        size = size_of(request.page_size, default=100, largest=1000)
        asked = facts_of(request)
        with own_token():
            after = parts_of(request.page_token, _LIST, str)[0] if request.page_token else ""
        caller = await self._access.authenticate(authorization)
        found = await self._schedules.page(
            caller,
            tenant_id=asked.get("tenant_id"),
            project_id=asked.get("project_id"),
            after=after,
            limit=size + 1,
        )
        schedules, token = page_of(
            found[:size],
            _shown,
            lambda schedule: cursor_in(_LIST, schedule.schedule_id),
            more=len(found) > size,
        )
        return ListSchedulesResponse(schedules=schedules, next_page_token=token)

    async def delete(self, authorization: str | None, request: DeleteScheduleRequest) -> DeleteScheduleResponse:
        """Delete it."""
        caller = await self._access.authenticate(authorization)
        await self._get(request.schedule_id, caller)
        await self._schedules.delete(request.schedule_id, caller)
        return DeleteScheduleResponse()

    async def pause(self, authorization: str | None, request: PauseScheduleRequest) -> PauseScheduleResponse:
        """Stop its clock."""
        return PauseScheduleResponse(schedule=await self._pause(authorization, facts_of(request), is_paused=True))

    async def resume(self, authorization: str | None, request: ResumeScheduleRequest) -> ResumeScheduleResponse:
        """Resume a schedule."""
        return ResumeScheduleResponse(schedule=await self._pause(authorization, facts_of(request), is_paused=False))

    async def _pause(self, authorization: str | None, asked: Mapping[str, Any], *, is_paused: bool) -> ScheduleMessage:
        update: dict[str, Any] = {"paused": is_paused}
        if "note" in asked:
            if len(asked["note"]) > 1000:
                raise invalid("note", "at most 1000 characters")
            update["note"] = asked["note"]
        caller = await self._access.authenticate(authorization)
        schedule_id = asked.get("schedule_id", "")
        work = self._schedules.change(schedule_id, caller, lambda before: before.model_copy(update=update))
        return _shown(await self._unbroken.run(work))

    async def run(self, authorization: str | None, request: RunScheduleRequest) -> RunScheduleResponse:
        """Fire it now."""
        asked = facts_of(request)
        overlap = Overlap(asked["overlap"]) if "overlap" in asked else None
        caller = await self._access.authenticate(authorization)
        firing = await self._unbroken.run(self._schedules.run(asked.get("schedule_id", ""), caller, overlap))
        return RunScheduleResponse(firing=fill(Firing(), firing))

    async def backfill(self, authorization: str | None, request: BackfillScheduleRequest) -> BackfillScheduleResponse:
        """Fire times of the past."""
        asked = facts_of(request)
        for name in ("start_at", "end_at"):
            if name not in asked:
                raise invalid(name, "is required")
        overlap = Overlap(asked.get("overlap", Overlap.BUFFER_ALL))
        caller = await self._access.authenticate(authorization)
        work = self._schedules.backfill(
            asked.get("schedule_id", ""), caller, asked["start_at"], asked["end_at"], overlap
        )
        times, noted = await self._unbroken.run(work)
        return BackfillScheduleResponse(times=times, noted=noted)

    async def times(self, authorization: str | None, request: ListScheduleTimesRequest) -> ListScheduleTimesResponse:
        """When it fires next."""
        if not 0 <= request.count <= 100:
            raise invalid("count", "1 to 100")
        caller = await self._access.authenticate(authorization)
        schedule = await self._get(request.schedule_id, caller)
        times = [
            {"nominal_at": nominal, "fire_at": fire_at, "local": schedule.local(nominal)}
            for nominal, fire_at in self._schedules.upcoming(schedule, request.count or 10)
        ]
        return fill(ListScheduleTimesResponse(), {"times": times})

    async def firings(self, authorization: str | None, request: ListFiringsRequest) -> ListFiringsResponse:
        """What became of its times."""
        size = size_of(request.page_size, default=50, largest=1000)
        before = time_of(request.before, "before") if request.HasField("before") else None
        schedule_id = storable(request.schedule_id, "schedule_id")
        caller = await self._access.authenticate(authorization)
        firings = await self._schedules.history(schedule_id, caller, before=before, limit=size)
        return fill(ListFiringsResponse(), {"firings": firings})

    async def _get(self, schedule_id: str, caller: Caller) -> Schedule:
        return await self._schedules.get(storable(schedule_id, "schedule_id"), caller)


@contextmanager
def _own_words() -> Iterator[None]:
    """What the service layer says of a definition names its fields as the proto does."""
    try:
        yield
    except InvalidRequest as error:
        if error.field and not error.field.startswith(_AT):
            error.field = f"{_AT}." + re.sub(r"\.(\d+)", r"[\1]", error.field)
        raise


def _shown(schedule: Schedule) -> ScheduleMessage:
    document = schedule.definition.model_dump(mode="json", exclude_none=True)
    action = document.pop("action")
    for spec in document["specs"]:
        if "at" in spec:
            spec["at"] = {"moments": spec["at"]}
    names = ("schedule_id", "tenant_id", "project_id", "user_id", "created_at", "updated_at")
    facts = {name: getattr(schedule, name) for name in names}
    facts |= {"definition": document, "action": action}
    facts["next_at"] = None if schedule.definition.paused else schedule.next_at
    return fill(ScheduleMessage(), facts)
