"""Changes of routing that a gateway sees: recorded in the ledger, once for all gateways, and only then in force."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final

import asyncpg

from gateway.audit.errors import LedgerUnwritable
from gateway.audit.writer import lock
from gateway.migration.ledger import last_known
from gateway.migration.ledger.authors import Author, Authors
from gateway.migration.ledger.entries import EntriesInForce, InForce
from gateway.migration.ledger.flag_settings import ALL, Setting, settings_in
from gateway.migration.ledger.flips import SEVERAL, flips_between
from gateway.migration.ledger.writer import OVERRIDE, SQL, Flip, append_locked
from gateway.observability.error_text import message_of
from gateway.routing.flags import FlagSource
from gateway.routing.followed_table import POLL_SECONDS, FollowedTable
from gateway.routing.held_store import Snapshot
from gateway.routing.overrides import Executor, Override, load_overrides
from gateway.routing.scope_names import scope_name
from gateway.routing.stages import Stage
from gateway.storage.database import Database, type_Connection
from gateway.storage.listener import Listener

logger = logging.getLogger(__name__)

CHANNEL: Final = "taskgate_ledger"
GENESIS: Final = "genesis"
#: A flag that is older than the ledger's newest version is not recorded: the newer one is on its way. After so long
#: (seconds) it counts: somebody put the older one back.
PATIENCE_SECONDS: Final = POLL_SECONDS
#: The same of a file, which is written right after its entries; who edits it by hand often puts an older version there.
FILE_PATIENCE_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 0.05

Known = dict[str, InForce]


class RoutingObserver:
    """Compares the flag that was received, and the rows of overrides, with what the ledger has."""

    def __init__(
        self, database: Database, listener: Listener, flags: FlagSource, entries: EntriesInForce, authors: Authors
    ) -> None:
        self._db = database
        self._flags = flags
        self._entries = entries
        self._authors = authors
        self._followed = FollowedTable(listener, CHANNEL, self._look, self._failed, poll=POLL_SECONDS)
        self._in_force: Snapshot | None = None
        self._stale_since: float | None = None

    async def start(self) -> None:
        """Begin to observe; returns when the flag is in force, or after a second."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._followed.wake)

        self._flags.add_listener(wake)
        await self._followed.start()

    async def close(self) -> None:
        await self._followed.close()

    async def load_overrides(self, database: Database) -> list[Override]:
        """The overrides in force, each with its entry. Raises `LedgerUnwritable`, `DatabaseUnavailable`."""
        rows = await load_overrides(database)
        known = await _known(database, OVERRIDE)
        if _texts(known) != _stages(rows):
            try:
                async with database.transaction() as db:
                    await lock(db)
                    rows = await load_overrides(db)
                    await self._record_overrides(db, rows, await _known(db, OVERRIDE))
            except asyncpg.PostgresError as error:
                raise LedgerUnwritable(f"The ledger cannot be written ({message_of(error)})") from error
            known = await _known(database, OVERRIDE)
        self._entries.put(OVERRIDE, known)
        return rows

    async def _look(self) -> None:
        """Put what was received in force, after its entries."""
        snapshot = self._flags.received()
        if snapshot == self._in_force:
            return
        wanted = settings_in(snapshot, self._flags.flag_key)
        known = await _known(self._db, "flag")
        if _texts(known) != {scope: setting.text for scope, setting in wanted.items()}:
            if known and self._flags.is_silent:
                await self._follow_last_known(known)
                return
            if not await self._record_flag(wanted, self._flags.version_of(snapshot), known):
                self._followed.wake_in(_RETRY_SECONDS)
                return
            known = await _known(self._db, "flag")
        await last_known.keep(self._db, self._flags, snapshot)
        self._entries.put("flag", known)
        self._entries.problem = self._stale_since = None
        self._in_force = snapshot
        self._flags.put_in_force(snapshot)

    async def _follow_last_known(self, known: Known) -> None:
        """Nobody says anything of the flag, which is no change of it: tenants stay where they are."""
        if self._flags.last_known is not None:
            return
        if await last_known.follow(self._db, self._flags):
            self._entries.put("flag", known)
            logger.warning("%s", self._flags.problem())
        else:
            self._entries.problem = "nobody says anything of the flag, and what it was before is not known; tasks wait"

    async def _record_flag(self, wanted: Mapping[str, Setting], version: str, known: Known) -> bool:
        """False: a newer version is known, and on its way."""
        seen_as = f"{self._flags.source}:{version}"
        by_hand = any(
            one.version == seen_as and one.setting != (wanted[scope].text if scope in wanted else "")
            for scope, one in known.items()
        )
        author = await self._authors.of_flag(version, by_hand=by_hand)
        try:
            async with self._db.transaction() as db:
                await lock(db)
                known = await _known(db, "flag")
                if _texts(known) == {scope: setting.text for scope, setting in wanted.items()}:
                    return True
                if await self._is_stale(db, known, version):
                    return False
                for flip in self._flips(known, wanted, version, author):
                    entry = await append_locked(db, flip)
                    if flip.scope == SEVERAL or flip.source == GENESIS:
                        texts = {scope: "" for scope in known} | {scope: one.text for scope, one in wanted.items()}
                        changed = {scope: text for scope, text in texts.items() if text != _texts(known).get(scope, "")}
                        await db.execute(
                            SQL.put_in_force, "flag", list(changed), list(changed.values()), seen_as, entry
                        )
                    logger.info("Ledger entry %d: %s, %s", entry, flip.scope, flip.setting or "not set")
        except asyncpg.PostgresError as error:
            raise LedgerUnwritable(f"The ledger cannot be written ({message_of(error)})") from error
        return True

    def _flips(self, known: Known, wanted: Mapping[str, Setting], version: str, author: Author) -> list[Flip]:
        if not known:
            listed = {scope: setting.text for scope, setting in wanted.items()}
            return [Flip(GENESIS, ALL, None, None, "", "The ledger begins", version, {"scopes": listed})]
        before = {scope: Setting(one.setting, _stage(one.setting)) for scope, one in known.items() if one.setting}
        return flips_between(before, wanted, source=self._flags.source, who=author.who, why=author.why, version=version)

    async def _is_stale(self, db: type_Connection, known: Known, version: str) -> bool:
        if self._flags.source == "database":
            newest = str(await db.fetchval(SQL.newest_version) or "")
        else:
            numbers = [one.version.partition(":") for one in known.values()]
            newest = max(
                (number for source, _, number in numbers if source == self._flags.source), key=_number, default=""
            )
        if _number(newest) <= _number(version):
            self._stale_since = None
            return False
        now = time.monotonic()
        self._stale_since = self._stale_since or now
        return now - self._stale_since < (FILE_PATIENCE_SECONDS if self._flags.source == "file" else PATIENCE_SECONDS)

    async def _record_overrides(self, db: type_Connection, rows: list[Override], known: Known) -> None:
        wanted = {scope_name(row.scope): row for row in rows}
        for scope in sorted(known.keys() | wanted.keys()):
            before = known[scope].setting if scope in known else ""
            row = wanted.get(scope)
            if before == ("" if row is None else row.stage):
                continue
            if row is not None:
                until = {} if row.expires_at is None else {"expires_at": row.expires_at.isoformat()}
                flip = Flip(OVERRIDE, scope, _stage(before), row.stage, row.set_by, row.why, str(row.version), until)
            else:
                author = await self._authors.of_end(db, scope)
                flip = Flip(OVERRIDE, scope, _stage(before), None, author.who, author.why, "", author.evidence)
            entry = await append_locked(db, flip)
            logger.info("Ledger entry %d: override for %s, %s", entry, scope, flip.setting or "not set")

    def _failed(self, reason: str) -> None:
        problem = f"the flag as received cannot be put in force ({reason}); the last one stays"
        if problem != self._entries.problem:
            logger.error("%s", problem)
        self._entries.problem = problem


async def _known(db: Executor, layer: str) -> Known:
    return {
        row["scope"]: InForce(row["setting"], row["entry_id"], row["version"])
        for row in await db.fetch(SQL.in_force, layer)
    }


def _texts(known: Known) -> dict[str, str]:
    return {scope: one.setting for scope, one in known.items() if one.setting}


def _stages(rows: list[Override]) -> dict[str, str]:
    return {scope_name(row.scope): str(row.stage) for row in rows}


def _stage(text: str) -> Stage | None:
    return Stage(text) if text in tuple(Stage) else None


def _number(version: str) -> int:
    """Of a file's version, what stands before the hash of its content."""
    number = version.partition(":")[0]
    return int(number) if number.isdigit() else 0
