"""`taskgate.v1.DeadLetterService`, on the use cases that HTTP uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field
from taskgate.v1 import (
    DeadLetter,
    DismissDeadLetterRequest,
    DismissDeadLetterResponse,
    DismissDeadLettersRequest,
    DismissDeadLettersResponse,
    GetDeadLetterRequest,
    GetDeadLetterResponse,
    GroupDeadLettersRequest,
    GroupDeadLettersResponse,
    ListDeadLettersRequest,
    ListDeadLettersResponse,
    PurgeDeadLetterRequest,
    PurgeDeadLetterResponse,
    PurgeDeadLettersRequest,
    PurgeDeadLettersResponse,
    RedriveDeadLetterRequest,
    RedriveDeadLetterResponse,
    RedriveDeadLettersRequest,
    RedriveDeadLettersResponse,
)

from gateway.dead_letters.archive import LIST
from gateway.dead_letters.editing import Edit
from gateway.dead_letters.filter import LetterFilter
from gateway.dead_letters.redrive import RedriveOptions
from gateway.dead_letters.requests import ByFilter, RedriveByFilter
from gateway.rpc.calls import KeyedCalls, Method, Unbroken
from gateway.rpc.messages import checked, facts_of, fill
from gateway.rpc.operations import shown
from gateway.rpc.pages import own_token, page_of, size_of
from gateway.storage.paging import Place

if TYPE_CHECKING:
    from gateway.gateway import Gateway

SERVICE = "taskgate.v1.DeadLetterService"


class _Asked(BaseModel):
    """What may be said of a redrive or a dismissal."""

    backend: Literal["redis", "temporal"] | None = None
    why: Annotated[str | None, Field(max_length=1000)] = None


class DeadLetterService:
    """The calls of the service. Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._letters = gateway.dead_letters
        self._redriver = gateway.redriver
        self._redrives = gateway.redrive_operations
        self._runner = gateway.operation_runner
        self._unbroken = unbroken

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "ListDeadLetters": calls.unary(ListDeadLettersRequest, self.list),
            "GroupDeadLetters": calls.unary(GroupDeadLettersRequest, self.groups),
            "GetDeadLetter": calls.unary(GetDeadLetterRequest, self.get),
            "RedriveDeadLetter": calls.unary(RedriveDeadLetterRequest, self.redrive),
            "DismissDeadLetter": calls.unary(DismissDeadLetterRequest, self.dismiss),
            "PurgeDeadLetter": calls.unary(PurgeDeadLetterRequest, self.purge),
            "RedriveDeadLetters": calls.unary(RedriveDeadLettersRequest, self.redrive_many),
            "DismissDeadLetters": calls.unary(DismissDeadLettersRequest, self.dismiss_many),
            "PurgeDeadLetters": calls.unary(PurgeDeadLettersRequest, self.purge_many),
        }

    async def list(self, authorization: str | None, request: ListDeadLettersRequest) -> ListDeadLettersResponse:
        """A page, newest first."""
        size = size_of(request.page_size, default=50, largest=200)
        which = checked(LetterFilter, facts_of(request.filter, "filter"), "filter")
        caller = await self._access.authenticate(authorization)
        with own_token():
            page = await self._letters.list(caller, which, limit=size, cursor=request.page_token or None)
        letters, token = page_of(
            page.letters,
            lambda letter: fill(DeadLetter(), letter),
            lambda letter: Place(letter["died_at"], letter["id"]).cursor_in(LIST),
            more=page.cursor is not None,
        )
        return ListDeadLettersResponse(dead_letters=letters, next_page_token=token)

    async def groups(self, authorization: str | None, request: GroupDeadLettersRequest) -> GroupDeadLettersResponse:
        """By what went wrong."""
        limit = size_of(request.limit, default=200, largest=200)
        which = checked(LetterFilter, facts_of(request.filter, "filter"), "filter")
        caller = await self._access.authenticate(authorization)
        return fill(GroupDeadLettersResponse(), asdict(await self._letters.groups(caller, which, limit=limit)))

    async def get(self, authorization: str | None, request: GetDeadLetterRequest) -> GetDeadLetterResponse:
        """One dead letter with all that is known of it."""
        letter = await self._letters.get(await self._access.authenticate(authorization), request.id)
        return fill(GetDeadLetterResponse(), {**letter, "dead_letter": letter})

    async def redrive(self, authorization: str | None, request: RedriveDeadLetterRequest) -> RedriveDeadLetterResponse:
        """Run it again."""
        facts = facts_of(request)
        asked = checked(_Asked, facts)
        edit = None
        if (kind := request.WhichOneof("edit")) is not None:
            # An empty one is one.
            edit = checked(Edit, {kind: facts.get(kind, {})}, "edit")
        caller = await self._access.authenticate(authorization)
        options = RedriveOptions(caller.user_id, asked.backend, why=asked.why)
        task_id = await self._unbroken.run(self._redriver.redrive(caller, request.id, options, edit))
        return RedriveDeadLetterResponse(task_id=task_id)

    async def dismiss(self, authorization: str | None, request: DismissDeadLetterRequest) -> DismissDeadLetterResponse:
        """It needs nothing any more."""
        asked = checked(_Asked, facts_of(request))
        caller = await self._access.authenticate(authorization)
        await self._letters.dismiss(caller, request.id, actor=caller.user_id, why=asked.why)
        return DismissDeadLetterResponse()

    async def purge(self, authorization: str | None, request: PurgeDeadLetterRequest) -> PurgeDeadLetterResponse:
        """Delete it."""
        caller = await self._access.authenticate(authorization)
        await self._letters.purge(caller, request.id, actor=caller.user_id)
        return PurgeDeadLetterResponse()

    async def redrive_many(
        self, authorization: str | None, request: RedriveDeadLettersRequest
    ) -> RedriveDeadLettersResponse:
        """Redrive what matches, as an operation."""
        asked = checked(RedriveByFilter, facts_of(request))
        caller = await self._access.authenticate(authorization)
        options = RedriveOptions(caller.user_id, asked.backend, asked.spread_seconds, asked.why)
        begun = await self._unbroken.run(self._redrives.begin(caller, asked.filter, options, dry_run=asked.dry_run))
        self._runner.wake()
        return RedriveDeadLettersResponse(operation=shown(begun))

    async def dismiss_many(
        self, authorization: str | None, request: DismissDeadLettersRequest
    ) -> DismissDeadLettersResponse:
        """Dismiss what matches, a step at a time."""
        return fill(DismissDeadLettersResponse(), await self._remove(authorization, request, "dismiss"))

    async def purge_many(self, authorization: str | None, request: PurgeDeadLettersRequest) -> PurgeDeadLettersResponse:
        """Delete what matches, a step at a time."""
        return fill(PurgeDeadLettersResponse(), await self._remove(authorization, request, "purge"))

    async def _remove(
        self, authorization: str | None, request: DismissDeadLettersRequest | PurgeDeadLettersRequest, what: str
    ) -> dict[str, Any]:
        facts = facts_of(request)
        token = facts.pop("page_token", None)
        asked = checked(ByFilter, facts)
        caller = await self._access.authenticate(authorization)
        with own_token():
            work = self._letters.remove_many(
                what,
                caller,
                asked.filter,
                limit=asked.limit,
                cursor=token,
                dry_run=asked.dry_run,
                actor=caller.user_id,
                why=asked.why,
            )
            done = await self._unbroken.run(work)
        return {"matched": done.matched, "removed": done.done, "next_page_token": done.cursor}
