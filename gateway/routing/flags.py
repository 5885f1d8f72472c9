"""The migration flag: LaunchDarkly's SDK, fed by LaunchDarkly, by rows of our schema, or by a file.

The SDK's `Migrator` is not used: it calls both backends in the dual stages, so a task would run twice. Nor is its
`migration_variation`, which keeps the reason of the evaluation to itself; the tracker is made here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from ldclient import Config, LDClient
from ldclient.feature_store import InMemoryFeatureStore
from ldclient.interfaces import DataSourceState, FlagChange, UpdateProcessor
from ldclient.migrations import OpTracker
from ldclient.migrations import Stage as SdkStage
from ldclient.versioned_data_kind import FEATURES

from gateway.routing.errors import FlagFileInvalid
from gateway.routing.file_source import FlagFileSource
from gateway.routing.flag_context import context_of
from gateway.routing.flag_document import Json, check_flag, content_version
from gateway.routing.flag_evaluation import FlagEvaluation, compared, dispatched
from gateway.routing.flag_parts import snapshot_of
from gateway.routing.held_store import HeldStore, Snapshot
from gateway.routing.launchdarkly_client import FlagClient
from gateway.routing.launchdarkly_sdk import common, remote_config
from gateway.routing.query import RouteQuery
from gateway.routing.stages import Stage
from gateway.routing.table_source import FlagTableSource
from gateway.secret_files import Secret
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.listener import Listener

logger = logging.getLogger(__name__)

#: Said as long as no flag was ever seen.
ALL_OFF = "every tenant is at stage off"

_STAGES = {stage.value: stage for stage in Stage}


class FlagSource:
    """Evaluates the flag in memory; what feeds it runs on threads of the SDK.

    Nothing is read or connected before `start`. A service that cannot be reached delays `start` by a second
    at most and no evaluation at all: the last known value holds, and before there is one, `off`.
    """

    def __init__(
        self,
        *,
        flag_key: str = "task-backend",
        file: Path | None = None,
        table: FlagTableSource | None = None,
        sdk_key: Secret | None = None,
        base_url: str | None = None,
        held: bool = False,
    ) -> None:
        """One of `file`, `table` and `sdk_key` feeds it; without any the stage is `off` for all.

        `held`: what is received is in force only by `put_in_force`.
        """
        self.flag_key = flag_key
        self.file = file
        self._table = table
        self._sdk_key = sdk_key
        self._base_url = base_url
        self._held = held
        self._store: Any = HeldStore() if held else InMemoryFeatureStore()  # type: ignore[no-untyped-call]
        self._client = FlagClient(self._config, sdk_key, on_made=self._watch, on_replaced=self._notify)
        self._file_source: FlagFileSource | None = None
        self._closed = False
        self.last_known: str | None = None
        """In words, the flag that is followed while nobody says anything of it; None: what was received is in force."""
        self._listeners: list[Callable[[], None]] = []

    @classmethod
    def from_settings(
        cls, settings: Settings, database: Database, listener: Listener, *, held: bool = False
    ) -> FlagSource:
        """Fed by what the settings name. `listener` must not listen yet."""
        match settings.flag_owner:
            case "launchdarkly":
                key = settings.follow("launchdarkly_sdk_key")
                return cls(flag_key=settings.flag_key, sdk_key=key, base_url=settings.launchdarkly_base_url, held=held)
            case "file":
                return cls(flag_key=settings.flag_key, file=settings.flags_file, held=held)
            case _:
                table = FlagTableSource(database, listener, settings.flag_key)
                return cls(flag_key=settings.flag_key, table=table, held=held)

    @property
    def is_remote(self) -> bool:
        """Whether LaunchDarkly owns the flag."""
        return bool(self._sdk_key)

    @property
    def owner(self) -> str:
        """Who holds the flag: `LaunchDarkly`, `database`, `file <path>`, or `nobody` (the stage is `off` for all)."""
        if self.is_remote:
            return "LaunchDarkly"
        if self._table is not None:
            return "database"
        if self.file is None:
            return "nobody"
        # The full path, which other processes understand; a link as the last part is followed anew at each look.
        return f"file {self.file.parent.resolve() / self.file.name}"

    @property
    def source(self) -> str:
        """`launchdarkly`, `database` or `file`."""
        return "launchdarkly" if self.is_remote else "database" if self._table is not None else "file"

    async def start(self) -> None:
        """Begin to receive flags; returns after a second at the latest (`launchdarkly_client.START_SECONDS`)."""
        if self._client.sdk is None and (self.is_remote or self._table is not None or self.file is not None):
            await self._client.start()
            if self._table is not None:
                await self._table.follow()
        self._notify()

    async def close(self) -> None:
        """Stop receiving flags; events not yet sent are given two seconds. The last known flag stays in force."""
        if self._client.sdk is None or self._closed:
            return
        self._closed = True
        if self._table is not None:
            await self._table.close()
        await self._client.close()

    def received(self) -> Snapshot:
        """The newest flags and segments, whether they are in force or not; for a source that is `held`."""
        return self._store.received()  # type: ignore[no-any-return]

    def version_of(self, snapshot: Snapshot) -> str:
        """The flag's version there; of a file, whose versions may repeat, with a hash of the flag."""
        flag = snapshot[FEATURES].get(self.flag_key)
        if flag is None:
            return ""
        if self.is_remote:
            return str(flag.version)
        if self._table is not None:
            return str(self._table.version_of(int(flag.version)) or "")
        return content_version(self._file_source.version if self._file_source else "", flag.to_json_dict())

    @property
    def is_silent(self) -> bool:
        """Nobody has said anything of the flag, not even that there is none; for a source that is `held`."""
        if self.received()[FEATURES].get(self.flag_key) is not None:
            return False
        return not (self.is_remote and self._store.has_received)

    def follow_last_known(self, document: Json, words: str) -> None:
        """Evaluate by this until something is received; `words` name it, for `problem`."""
        self.last_known = words
        self._store.put_in_force(snapshot_of(document))
        self._notify()

    def put_in_force(self, snapshot: Snapshot) -> None:
        """Evaluate by these from now on."""
        self.last_known = None
        self._store.put_in_force(snapshot)
        self._notify()

    def evaluate(self, query: RouteQuery) -> FlagEvaluation:
        """The stage of this task, and why; in memory, some 40 µs."""
        client = self._client.sdk
        if client is None or self._flag() is None:
            return FlagEvaluation(Stage.OFF, known=False)
        context = context_of(query)
        detail = client.variation_detail(self.flag_key, context, SdkStage.OFF.value)
        tracker = None
        if self.is_remote:
            tracker = OpTracker(self.flag_key, self._flag(), context, detail, SdkStage.OFF)
        stage = _STAGES.get(str(detail.value), Stage.OFF)
        return FlagEvaluation(stage, True, tracker, detail.reason, self.last_known is not None)

    def record(self, evaluation: FlagEvaluation, backend: str, latency: timedelta, *, failed: bool = False) -> None:
        """Tell LaunchDarkly how the dispatch of an evaluated task went; nothing is told of a flag of our own.

        Once per evaluation; no I/O here.
        """
        client = self._client.sdk
        if client is not None and evaluation.tracker is not None and self.is_remote:
            client.track_migration_op(dispatched(evaluation.tracker, backend, latency, failed=failed))

    def compare(
        self,
        evaluation: FlagEvaluation,
        *,
        is_consistent: bool,
        redis: timedelta | None = None,
        temporal: timedelta | None = None,
    ) -> None:
        """Tell LaunchDarkly how an evaluated task compares on both backends. As `record`; arguments of `compared`."""
        client = self._client.sdk
        if client is not None and evaluation.tracker is not None and self.is_remote:
            tracker = compared(evaluation.tracker, is_consistent=is_consistent, redis=redis, temporal=temporal)
            client.track_migration_op(tracker)

    def document(self) -> Json | None:
        """The flag in force as LaunchDarkly's JSON; None when there is none."""
        flag = self._flag()
        return None if flag is None else dict(flag.to_json_dict())

    @property
    def version(self) -> int | None:
        """The version of the flag in force; None when there is none."""
        flag = self._flag()
        if self._table is not None and flag is not None and self.last_known is None:
            return self._table.version_of(int(flag.version))
        if (own := self._table or self._file_source) is not None:
            return own.version
        return None if flag is None else int(flag.version)

    def problem(self) -> str | None:
        """What keeps the flag from being up to date, in one line; None when all is well."""
        client = self._client.sdk
        if client is None:
            return None
        if (own := self._table or self._file_source) is not None:
            if self.last_known is None:
                return own.problem
            silence = own.problem or f"{self.owner}: there is no flag"
            return f"{silence.removesuffix(f'; {ALL_OFF}')}; {self.last_known}"
        status = client.data_source_status_provider.status
        if status.state is not DataSourceState.VALID:
            kept = self.last_known or ("the last known flags stay in force" if self._flag() is not None else ALL_OFF)
            why = "" if status.error is None else f" ({status.error.kind.value}: {status.error.message})"
            return f"LaunchDarkly is not connected{why}; {kept}"
        flag = self.document()
        if flag is None:
            return f"LaunchDarkly has no flag {self.flag_key!r}; {ALL_OFF}"
        try:
            check_flag(flag)
        except FlagFileInvalid as error:
            return f"LaunchDarkly's flag {self.flag_key!r} is not a sound migration flag: {error}"
        return None

    def note(self) -> str | None:
        """Why the stage is `off` for all although nothing is wrong; None when a flag is in force."""
        if self._flag() is not None or self.is_remote or self.problem() is not None:
            return None
        missing = "no flag has been set yet" if self.file is None else f"the flag file {self.file} does not exist yet"
        return f"{missing}: {ALL_OFF}"

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Have `listener` called, on a thread of the SDK, after the flag or its problem may have changed."""
        self._listeners.append(listener)

    def _flag(self) -> Any:
        """The SDK's flag in force."""
        return self._store.get(FEATURES, self.flag_key, lambda item: item)

    def _watch(self, client: LDClient) -> None:
        client.flag_tracker.add_listener(self._flag_changed)
        if self.is_remote:
            client.data_source_status_provider.add_listener(lambda status: self._notify())

    def _flag_changed(self, change: FlagChange) -> None:
        if change.key == self.flag_key:
            self._notify()

    def _notify(self) -> None:
        for listener in self._listeners:
            try:
                listener()
            except Exception:
                logger.exception("A listener for flag changes failed")

    def _config(self, key: str) -> Config:
        if self._sdk_key is not None:
            return remote_config(key, self._base_url, self._store)
        return Config("own", update_processor_class=self._make_own_source, send_events=False, **common(self._store))

    def _make_own_source(self, config: Config, store: Any, ready: threading.Event) -> UpdateProcessor:
        if self._table is not None:
            return self._table.attach(config, ready, self._notify)
        assert self.file is not None
        self._file_source = FlagFileSource(self.file, self.flag_key, config, ready, self._notify)
        return self._file_source
