"""The LaunchDarkly SDK's data from versioned rows of our schema, so that gateways on several hosts agree."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from ldclient.config import Config
from ldclient.interfaces import (
    DataSourceErrorInfo,
    DataSourceErrorKind,
    DataSourceState,
    DataSourceUpdateSink,
    UpdateProcessor,
)
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

from gateway.routing.errors import FlagFileInvalid
from gateway.routing.flag_document import FlagData, numbered, parse_document
from gateway.routing.flag_table import newest_mark, newest_rows
from gateway.routing.followed_table import POLL_SECONDS, FollowedTable
from gateway.storage.database import Database
from gateway.storage.listener import Listener

logger = logging.getLogger(__name__)

CHANNEL: Final = "taskgate_flags"
#: How many versions a gateway that starts looks through for a valid one when the newest is not valid.
VERSIONS_SEARCHED: Final = 20
#: Loads whose version is remembered: a listener may still look at the flag before the newest.
LOADS_KEPT: Final = 8


class FlagTableSource(UpdateProcessor):
    """Hands the newest valid version to the SDK, and each later one: announced by PostgreSQL, or seen by polling.

    While the database is away, and while the newest version is not valid (somebody wrote it by hand), what was last
    read stays in force, and `problem` says so. The SDK's `start` and `stop` do nothing: the table is followed between
    `follow` and `close`, on the event loop.
    """

    def __init__(self, database: Database, listener: Listener, flag_key: str, *, poll: float = POLL_SECONDS) -> None:
        self._db = database
        self._flag_key = flag_key
        self._followed = FollowedTable(listener, CHANNEL, self._look, self._lost, poll=poll)
        self._sink: DataSourceUpdateSink | None = None
        self._on_problem: Callable[[], None] = lambda: None
        self._mark: tuple[int, str] | None = None
        self._data: FlagData | None = None
        self._loads = 0
        self._versions: dict[int, int] = {}
        """The version of each of the last few loads; flags carry the number of their load (`numbered`)."""
        self._invalid: str | None = None
        self.version: int | None = None
        """The version in force; None before there is one."""
        self.problem: str | None = None

    def attach(self, config: Config, ready: threading.Event, on_problem: Callable[[], None]) -> FlagTableSource:
        """Serve this client. `on_problem` is called when `problem` has changed."""
        self._sink = config.data_source_update_sink
        self._on_problem = on_problem
        self._ready = ready
        return self

    def start(self) -> None:
        assert self._sink is not None  # the client sets it before it makes a source
        self._sink.init({FEATURES: {}, SEGMENTS: {}})
        self._ready.set()

    def stop(self) -> None:
        """Nothing: `close` ends it."""

    def initialized(self) -> bool:
        """True: an empty table is an answer too (no flags)."""
        return True

    def version_of(self, load: int) -> int | None:
        """The version that flags with this number are of."""
        return self._versions.get(load, self.version)

    @property
    def loaded(self) -> bool:
        return self._data is not None

    async def follow(self) -> None:
        """Begin to follow the table, as `FollowedTable.start`."""
        await self._followed.start()

    async def close(self) -> None:
        await self._followed.close()

    async def _look(self) -> None:
        mark = await newest_mark(self._db)
        if mark != self._mark:
            await self._read()
        self._report(self._invalid)

    async def _read(self) -> None:
        """Take the newest version over; when it is not valid, and nothing is in force yet, the newest that is."""
        rows = await newest_rows(self._db)
        invalid = None if rows or self._data is None else "its rows are gone"
        for row in rows:
            try:
                data = await asyncio.to_thread(parse_document, row.text, self._flag_key)
            except FlagFileInvalid as error:
                invalid = f"version {row.version} is not valid: {error}"
                if self._data is None:
                    await self._read_older()
            else:
                await self._take(row.version, data)
        self._invalid = invalid
        self._mark = (rows[0].version, rows[0].mark) if rows else None

    async def _read_older(self) -> None:
        for row in (await newest_rows(self._db, VERSIONS_SEARCHED))[1:]:
            try:
                data = parse_document(row.text, self._flag_key)
            except FlagFileInvalid:
                continue
            return await self._take(row.version, data)

    async def _take(self, version: int, data: FlagData) -> None:
        sink = self._sink
        assert sink is not None
        is_new = data != self._data
        if is_new:
            self._loads += 1
            self._versions.pop(self._loads - LOADS_KEPT, None)
            self._data = data
        # Before the SDK has it, which tells listeners on a thread of its own.
        self._versions[self._loads] = version
        if is_new:
            features, segments = numbered(data.features, self._loads), numbered(data.segments, self._loads)
            await asyncio.to_thread(sink.init, {FEATURES: features, SEGMENTS: segments})
            sink.update_status(DataSourceState.VALID, None)
            logger.info("Flags of version %d read from the database", version)
        self.version = version

    def _lost(self, reason: str) -> None:
        self._report(f"they cannot be read ({reason})")

    def _report(self, reason: str | None) -> None:
        problem = None
        if reason is not None:
            kept = "the last known flags stay in force" if self.loaded else "every tenant is at stage off"
            in_force = "" if self.version is None else f" (version {self.version})"
            problem = f"flags in the database: {reason}; {kept}{in_force}"
        if problem != self.problem:
            self.problem = problem
            if problem is None:
                logger.info("The flags in the database are followed again")
            else:
                logger.error("%s", problem)
                if self._sink is not None:
                    info = DataSourceErrorInfo(DataSourceErrorKind.INVALID_DATA, 0, time.time(), reason)
                    self._sink.update_status(DataSourceState.INTERRUPTED, info)
            self._on_problem()
