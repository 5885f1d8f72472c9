"""The stages in `taskgate.v1.MigrationService`, through the door that HTTP uses, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field
from taskgate.v1 import (
    ClearOverrideRequest,
    ClearOverrideResponse,
    GetFlagDocumentRequest,
    GetFlagDocumentResponse,
    GetStagesRequest,
    GetStagesResponse,
    ImportFlagDocumentRequest,
    ImportFlagDocumentResponse,
    ListStageChangesRequest,
    ListStageChangesResponse,
    SetOverrideRequest,
    SetOverrideResponse,
    SetRolloutRequest,
    SetRolloutResponse,
    SetStageRequest,
    SetStageResponse,
    StageChange,
    UnsetStageRequest,
    UnsetStageResponse,
    WatchStagesRequest,
    WatchStagesResponse,
)

from gateway.migration.stages.changes import Changed
from gateway.migration.stages.requests import (
    ClearOverride,
    ImportFlags,
    SetOverride,
    SetRollout,
    SetStage,
    UnsetStage,
)
from gateway.rpc.calls import KeyedCalls, Method, Send, Unbroken
from gateway.rpc.messages import checked, facts_of, fill
from gateway.rpc.stream_end import say_why

if TYPE_CHECKING:
    from gateway.gateway import Gateway


class _Limit(BaseModel):
    limit: int = Field(20, ge=1, le=1000)


class StageCalls:
    """The calls about stages. Each raises what the error tree has for it."""

    def __init__(self, gateway: Gateway, unbroken: Unbroken) -> None:
        self._access = gateway.access
        self._stages = gateway.stages
        self._watch = gateway.stage_watch
        self._patience = gateway.settings.stream_keepalive_seconds
        self._unbroken = unbroken

    def handlers(self, calls: KeyedCalls) -> Mapping[str, Method]:
        """A handler for each method."""
        return {
            "GetStages": calls.unary(GetStagesRequest, self.get),
            "WatchStages": calls.streaming(WatchStagesRequest, self.watch),
            "ListStageChanges": calls.unary(ListStageChangesRequest, self.changes),
            "SetStage": calls.unary(SetStageRequest, self.set),
            "UnsetStage": calls.unary(UnsetStageRequest, self.unset),
            "SetRollout": calls.unary(SetRolloutRequest, self.roll_out),
            "GetFlagDocument": calls.unary(GetFlagDocumentRequest, self.document),
            "ImportFlagDocument": calls.unary(ImportFlagDocumentRequest, self.load),
            "SetOverride": calls.unary(SetOverrideRequest, self.set_override),
            "ClearOverride": calls.unary(ClearOverrideRequest, self.clear_override),
        }

    async def get(self, authorization: str | None, request: GetStagesRequest) -> GetStagesResponse:
        """The stages as they are held."""
        await self._access.authenticate(authorization)
        view = await self._stages.view()
        return fill(GetStagesResponse(), {**view, "stages": view})

    async def watch(self, authorization: str | None, request: WatchStagesRequest, send: Send) -> None:
        """Send what is in force, until the client leaves."""
        caller = await self._access.authenticate(authorization)
        subscription = self._watch.subscribe()
        try:
            with self._access.watch_key(caller, subscription.close):
                async for change in subscription.changes(self._patience):
                    if change is not None:
                        message = fill(WatchStagesResponse(), dict([change]))
                        await send(message.SerializeToString())
            await say_why(self._access, caller, authorization)
        finally:
            subscription.close()

    async def changes(self, authorization: str | None, request: ListStageChangesRequest) -> ListStageChangesResponse:
        """Who changed what, and why."""
        limit = checked(_Limit, facts_of(request)).limit
        await self._access.authenticate(authorization)
        return fill(ListStageChangesResponse(), await self._stages.history(limit))

    async def set(self, authorization: str | None, request: SetStageRequest) -> SetStageResponse:
        """Put a scope at a stage."""
        asked = checked(SetStage, facts_of(request))
        work = self._stages.set(await self._who(authorization), asked)
        return SetStageResponse(change=_change(await self._unbroken.run(work)))

    async def unset(self, authorization: str | None, request: UnsetStageRequest) -> UnsetStageResponse:
        """Take the stage of a scope away."""
        asked = checked(UnsetStage, facts_of(request))
        work = self._stages.unset(await self._who(authorization), asked)
        return UnsetStageResponse(change=_change(await self._unbroken.run(work)))

    async def roll_out(self, authorization: str | None, request: SetRolloutRequest) -> SetRolloutResponse:
        """Move a percentage of the default."""
        asked = checked(SetRollout, facts_of(request))
        work = self._stages.roll_out(await self._who(authorization), asked)
        return SetRolloutResponse(change=_change(await self._unbroken.run(work)))

    async def document(self, authorization: str | None, request: GetFlagDocumentRequest) -> GetFlagDocumentResponse:
        """All that holds the flag."""
        await self._access.authenticate(authorization)
        version, document = await self._stages.document()
        return fill(GetFlagDocumentResponse(), {"version": version, "document": document})

    async def load(self, authorization: str | None, request: ImportFlagDocumentRequest) -> ImportFlagDocumentResponse:
        """Replace all that holds the flag."""
        asked = checked(ImportFlags, facts_of(request))
        work = self._stages.load(await self._who(authorization), asked)
        return ImportFlagDocumentResponse(change=_change(await self._unbroken.run(work)))

    async def set_override(self, authorization: str | None, request: SetOverrideRequest) -> SetOverrideResponse:
        """Put a stage above the flag."""
        asked = checked(SetOverride, facts_of(request))
        work = self._stages.overrides.set(await self._who(authorization), asked)
        made = (await self._unbroken.run(work)).view()
        return fill(SetOverrideResponse(), {**made, "override": made})

    async def clear_override(self, authorization: str | None, request: ClearOverrideRequest) -> ClearOverrideResponse:
        """Take an override away."""
        asked = checked(ClearOverride, facts_of(request))
        await self._unbroken.run(self._stages.overrides.clear(await self._who(authorization), asked))
        return ClearOverrideResponse()

    async def _who(self, authorization: str | None) -> str:
        return (await self._access.authenticate(authorization)).user_id


def _change(changed: Changed) -> StageChange:
    return fill(StageChange(), changed.view())
