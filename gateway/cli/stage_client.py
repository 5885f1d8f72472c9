"""The door of the stages, as commands use it: through a gateway, or on this host with the gateway's own settings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from gateway.cli.actor import actor
from gateway.cli.client import GatewayClient
from gateway.cli.output import fail
from gateway.engines import build_redis
from gateway.errors import ApiError, DatabaseUnavailable
from gateway.migration.flags.build import build_store
from gateway.migration.stages.checks import BARE, why_unseen
from gateway.migration.stages.requests import (
    Change,
    ClearOverride,
    ImportFlags,
    SetOverride,
    SetRollout,
    SetStage,
    UnsetStage,
)
from gateway.migration.stages.service import StageService
from gateway.routing.errors import FlagChangeRefused
from gateway.routing.flag_document import Json
from gateway.routing.flags import FlagSource
from gateway.routing.router import configured_backends
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.listener import Listener

PATH = "/gateway/v1/migration/stages"
#: Seconds to wait for a database that does not answer.
DATABASE_SECONDS = 3.0
#: Method and place below `PATH` of each change.
_CALLS: dict[type[Change], tuple[str, str]] = {
    SetStage: ("PUT", ""),
    UnsetStage: ("DELETE", ""),
    SetRollout: ("PUT", "/rollout"),
    ImportFlags: ("PUT", "/document"),
    SetOverride: ("PUT", "/overrides"),
    ClearOverride: ("DELETE", "/overrides"),
}
T = TypeVar("T")


class StageClient(Protocol):
    """An answer that is an error ends the command: exit code 2 it was refused, 1 it failed."""

    def view(self) -> Json: ...

    def seen(self) -> int:
        """The version that a change of the flag is based on."""
        ...

    def overrides(self) -> list[Json]: ...

    def history(self, limit: int) -> Json: ...

    def document(self) -> Json: ...

    def change(self, asked: Change) -> Any:
        """What was made of it, as the gateway answers over HTTP."""
        ...


def open_door(settings: Settings, *, local: bool, by: str | None = None) -> StageClient:
    """Through the gateway at `TASKGATE_URL` when there is a key for it, unless `local`. Raises `FlagChangeRefused`."""
    if local or settings.api_key is None:
        return LocalStageClient(settings, actor(by))
    if by is not None:
        raise FlagChangeRefused("--by goes together with --local: a gateway records whose key it was")
    return GatewayStageClient(settings)


class GatewayStageClient:
    """Through a gateway, over HTTP."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def view(self) -> Json:
        found: Json = self._call("GET", PATH)
        return found

    def seen(self) -> int:
        return int(self.view()["version"])

    def overrides(self) -> list[Json]:
        return list(self.view()["overrides"])

    def history(self, limit: int) -> Json:
        found: Json = self._call("GET", f"{PATH}/history", query={"limit": min(limit, 1000)})
        return found

    def document(self) -> Json:
        found: Json = self._call("GET", f"{PATH}/document")
        return dict(found["document"])

    def change(self, asked: Change) -> Any:
        method, place = _CALLS[type(asked)]
        given = asked.model_dump(exclude_none=True)
        return self._call(method, PATH + place, **({"query": given} if method == "DELETE" else {"body": given}))

    def _call(self, method: str, path: str, **options: Any) -> Any:
        with GatewayClient(self._settings) as client:
            return client.call(method, path, **options)


class LocalStageClient:
    """The use case itself, on the flag file of this host or on the database."""

    def __init__(self, settings: Settings, who: str) -> None:
        self._settings = settings
        self._who = who

    def view(self) -> Json:
        return self._run(lambda stages: stages.view())

    def seen(self) -> int:
        return self._run(lambda stages: stages.seen())

    def overrides(self) -> list[Json]:
        return self._run(lambda stages: stages.overrides.all())

    def history(self, limit: int) -> Json:
        return self._run(lambda stages: stages.history(limit))

    def document(self) -> Json:
        return self._run(lambda stages: stages.document())[1]

    def change(self, asked: Change) -> Any:
        return self._run(lambda stages: self._change(stages, asked))

    async def _change(self, stages: StageService, asked: Change) -> Any:
        made = await self._make(stages, asked)
        if made is not None and not isinstance(asked, SetOverride):
            made["warnings"] += await stages.unfollowed(self._settings.lease_seconds)
        return made

    async def _make(self, stages: StageService, asked: Change) -> Any:
        match asked:
            case SetStage():
                return (await stages.set(self._who, asked)).view()
            case UnsetStage():
                return (await stages.unset(self._who, asked)).view()
            case SetRollout():
                return (await stages.roll_out(self._who, asked)).view()
            case ImportFlags():
                return (await stages.load(self._who, asked)).view()
            case SetOverride():
                return (await stages.overrides.set(self._who, asked)).view()
            case ClearOverride():
                return await stages.overrides.clear(self._who, asked)
            case _:
                raise AssertionError(type(asked))

    def _run(self, work: Callable[[StageService], Awaitable[T]]) -> T:
        try:
            return asyncio.run(self._with_stages(work))
        except (DatabaseUnavailable, *BARE) as error:
            fail(why_unseen(error), code=1)
        except ApiError as error:
            fail(error.message, code=1 if error.http_status >= 500 else 2)

    async def _with_stages(self, work: Callable[[StageService], Awaitable[T]]) -> T:
        settings = self._settings
        database = Database(settings.database_url, size=2, acquire_timeout=DATABASE_SECONDS, name="taskgate-cli")
        flags = FlagSource.from_settings(settings, database, Listener(database))
        if flags.is_remote:
            await flags.start()
        redis = build_redis(settings)
        try:
            store = build_store(settings, database, flags, unrecorded=True)
            return await work(
                StageService(
                    database,
                    store,
                    settings.flag_key,
                    flags.owner,
                    redis=redis,
                    configured=configured_backends(settings),
                )
            )
        finally:
            await flags.close()
            if redis is not None:
                await redis.close()
            with suppress(Exception):
                await database.close()
