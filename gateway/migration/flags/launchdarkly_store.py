"""A flag that LaunchDarkly holds: read and patched through its REST API with a token, else read only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from gateway.migration.flags.errors import (
    FlagOutcomeUnknown,
    FlagStoreRefuses,
    FlagStoreUnavailable,
)
from gateway.migration.flags.launchdarkly_api import ATTEMPTS, EMERGENCY, LaunchDarklyApi, PatchConflict, PatchUncertain
from gateway.migration.flags.recording import Also, nothing_else, recorded_first
from gateway.migration.flags.semantic_patch import Instructions, flag_of, instructions
from gateway.migration.flags.store import Held
from gateway.migration.ledger.writer import Flip
from gateway.routing.errors import FlagFileInvalid, FlagVersionStale
from gateway.routing.flag_document import Json, check_flag
from gateway.routing.flag_file import FlagChange
from gateway.routing.flags import FlagSource
from gateway.storage.database import Database


class ReadOnlyStore:
    """LaunchDarkly without an API token: what its stream said last."""

    source = "launchdarkly"
    refusal: str | None = (
        "LaunchDarkly owns the flag, and without TASKGATE_LAUNCHDARKLY_API_TOKEN it may not be changed from here:"
        " change it there; in an emergency `taskgate route override set` stands above it"
    )

    def __init__(self, flags: FlagSource) -> None:
        self._flags = flags

    async def held(self) -> Held:
        flag = self._flags.document()
        if flag is None:
            raise FlagStoreUnavailable(self._flags.problem() or "LaunchDarkly has sent no flag")
        return _held(flag, self._flags.flag_key)

    async def write(
        self,
        held: Held,
        document: Json,
        change: FlagChange,
        flips: Sequence[Flip],
        also: Also = nothing_else,
    ) -> FlagChange:
        raise FlagStoreRefuses(self.refusal)

    async def changes(self, limit: int) -> list[FlagChange]:
        return []

    def version_of(self, flag: Json) -> str:
        return str(flag["version"])


class LaunchDarklyStore:
    """LaunchDarkly with an API token. The ledger is written first."""

    source = "launchdarkly"
    refusal: str | None = None

    def __init__(self, database: Database, api: LaunchDarklyApi, flag_key: str) -> None:
        self._db = database
        self._api = api
        self._flag_key = flag_key

    async def held(self) -> Held:
        return _held(self._flag(await self._api.flag()), self._flag_key)

    async def write(
        self,
        held: Held,
        document: Json,
        change: FlagChange,
        flips: Sequence[Flip],
        also: Also = nothing_else,
    ) -> FlagChange:
        shown, wanted = await self._api.flag(), document["flags"][self._flag_key]
        if self._flag(shown)["version"] != held.version:
            raise FlagVersionStale
        patch = instructions(shown, self._api.environment, wanted)
        if not patch:
            return replace(change, version=held.version)
        async with recorded_first(self._db, flips, also):
            done = await self._patch(patch, f"{change.who}: {change.why}", held.version, wanted)
        return replace(change, version=done["version"])

    async def changes(self, limit: int) -> list[FlagChange]:
        """As LaunchDarkly's audit log tells them; it names no version."""
        return [_change(entry) for entry in reversed(await self._api.audit_log(limit))]

    def version_of(self, flag: Json) -> str:
        return str(flag["version"])

    async def _patch(self, patch: Instructions, comment: str, version: int, wanted: Json) -> Json:
        """The flag as it is then. A patch whose outcome is unknown is looked for before it is sent again."""
        why = ""
        for attempt in range(ATTEMPTS):
            try:
                return self._flag(await self._api.patch(patch, comment))
            except PatchConflict as error:
                if self._flag(await self._now_unless_unknown())["version"] != version:
                    raise FlagVersionStale from None
                raise FlagStoreRefuses(f"LaunchDarkly refuses this (409): {error}") from None
            except PatchUncertain as error:
                why = str(error)
            await self._api.pause(attempt)
            there = await self._now_unless_unknown()
            if self._flag(there)["version"] == version:
                continue
            if instructions(there, self._api.environment, wanted):
                raise FlagVersionStale
            return self._flag(there)
        raise FlagStoreUnavailable(f"LaunchDarkly's API fails ({why}); {EMERGENCY}", retry_after=10)

    async def _now_unless_unknown(self) -> Json:
        try:
            return await self._api.flag()
        except FlagStoreUnavailable as error:
            raise FlagOutcomeUnknown from error

    def _flag(self, shown: Json) -> Json:
        return flag_of(shown, self._api.environment)


def _held(flag: Json, flag_key: str) -> Held:
    try:
        check_flag(flag)
    except FlagFileInvalid as error:
        return Held(int(flag["version"]), None, f"LaunchDarkly's flag is not a sound migration flag: {error}")
    return Held(int(flag["version"]), {"flags": {flag_key: flag}})


def _change(entry: Json) -> FlagChange:
    member = entry.get("member") or {}
    who = member.get("email") or (entry.get("token") or {}).get("name") or "somebody"
    at = datetime.fromtimestamp(entry["date"] / 1000, UTC).isoformat(timespec="milliseconds")
    what = str(entry.get("titleVerb") or "changed the flag")
    return FlagChange(at, str(who), "flag", "-", what, str(entry.get("comment") or ""), 0)
