"""The stages in `MigrationService`: the same door as over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from taskgate.v1 import (
    ClearOverrideRequest,
    GetFlagDocumentRequest,
    GetStagesRequest,
    ImportFlagDocumentRequest,
    ListStageChangesRequest,
    SetOverrideRequest,
    SetRolloutRequest,
    SetStageRequest,
    UnsetStageRequest,
    WatchStagesRequest,
)

Code = grpc.StatusCode


def ann(based_on: int = 0, **fields: Any) -> SetStageRequest:
    return SetStageRequest(**{"tenant_id": "t-ann", "stage": "live", "why": "pilot", "based_on": based_on, **fields})


async def test_from_set_to_history(face: Any, migration: Any) -> None:
    made = await migration.SetStage(ann(), metadata=face.root)
    assert (made.change.what, made.change.before, made.change.after) == ("tenant t-ann", "not set", "live")
    assert (made.change.who, made.change.version) == ("root", 1)
    rollout = SetRolloutRequest(stage="live", percent=25, why="quarter", based_on=1)
    assert (await migration.SetRollout(rollout, metadata=face.root)).change.after == "off 75 %, live 25 % by tenant"
    await migration.UnsetStage(UnsetStageRequest(tenant_id="t-ann", why="back", based_on=2), metadata=face.root)
    got = await migration.GetStages(GetStagesRequest(), metadata=face.root)
    assert (got.source, got.stages.version, got.stages.default) == ("database", 3, "off 75 %, live 25 % by tenant")
    assert (len(got.stages.settings), got.last_change.why) == (0, "back")
    history = await migration.ListStageChanges(ListStageChangesRequest(limit=2), metadata=face.root)
    assert [change.why for change in history.changes] == ["quarter", "back"]


async def test_overrides(face: Any, migration: Any, refusal: Any) -> None:
    request = SetOverrideRequest(everything=True, stage="off", why="incident", based_on=0, minutes=5)
    made = await migration.SetOverride(request, metadata=face.root)
    assert (made.override.stage, made.override.by, made.override.HasField("expires_at")) == ("off", "root", True)
    refused = await refusal(migration.SetOverride(request, metadata=face.root))
    assert (refused.code, refused.reason) == (Code.ABORTED, "STAGE_VERSION_STALE")
    clear = ClearOverrideRequest(everything=True, why="over", based_on=made.override.version)
    await migration.ClearOverride(clear, metadata=face.root)
    assert not (await migration.GetStages(GetStagesRequest(), metadata=face.root)).stages.overrides


async def test_the_document(face: Any, migration: Any) -> None:
    await migration.SetStage(ann(), metadata=face.root)
    kept = await migration.GetFlagDocument(GetFlagDocumentRequest(), metadata=face.root)
    await migration.SetStage(ann(1, stage="off"), metadata=face.root)
    load = ImportFlagDocumentRequest(document=kept.document, why="back", based_on=2)
    assert (await migration.ImportFlagDocument(load, metadata=face.root)).change.version == 3
    stages = (await migration.GetStages(GetStagesRequest(), metadata=face.root)).stages
    assert [setting.stage for setting in stages.settings] == ["live"]


async def test_what_is_refused(face: Any, migration: Any, refusal: Any) -> None:
    await migration.SetStage(ann(), metadata=face.root)
    for request, code, reason in (
        (ann(), Code.ABORTED, "STAGE_VERSION_STALE"),
        (ann(1, tenant_id="t-nan"), Code.FAILED_PRECONDITION, "STAGE_CHANGE_REFUSED"),
        (ann(1, stage="lvie"), Code.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (ann(1, everything=True), Code.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (SetStageRequest(tenant_id="t-ann", stage="off", why="x"), Code.INVALID_ARGUMENT, "INVALID_REQUEST"),
    ):
        refused = await refusal(migration.SetStage(request, metadata=face.root))
        assert (refused.code, refused.reason) == (code, reason), request
    assert (await refusal(migration.SetStage(ann(1), metadata=face.ann))).code is Code.PERMISSION_DENIED


async def test_a_watch_tells_of_each_change(face: Any, migration: Any) -> None:
    gateway = face.gateway
    await gateway.flags.start()
    await gateway.observer.start()
    await gateway.overrides.start()
    watch = migration.WatchStages(WatchStagesRequest(), metadata=face.root)
    async with asyncio.timeout(20):
        assert not (await watch.read()).stages.settings
        await migration.SetStage(ann(), metadata=face.root)
        while not (stages := (await watch.read()).stages).settings:
            pass
        assert (stages.version, stages.settings[0].stage) == (1, "live")
        gateway.stage_watch.end_streams()
        try:
            while await watch.read() is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError as error:
            ended = error.code()
        assert ended is Code.UNAVAILABLE
