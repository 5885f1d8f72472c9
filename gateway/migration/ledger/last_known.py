"""The flag in force, stored for gateways that start while the flag's source does not answer."""

from __future__ import annotations

import json

from gateway.migration.ledger.writer import SQL
from gateway.routing.flag_parts import document_of
from gateway.routing.flags import FlagSource
from gateway.routing.held_store import Snapshot
from gateway.storage.database import Database


async def keep(database: Database, flags: FlagSource, snapshot: Snapshot) -> None:
    """Store the whole flag document, with the prerequisites and segments that it uses.

    The ledger alone would not do: its entries have percentages and rules only in words. A snapshot without the flag is
    not stored. Raises `DatabaseUnavailable`.
    """
    document = document_of(snapshot, flags.flag_key)
    if document is not None:
        version = flags.version_of(snapshot)
        await database.execute(SQL.keep_flag, flags.flag_key, flags.source, version, json.dumps(document))


async def follow(database: Database, flags: FlagSource) -> bool:
    """Have `flags` follow what was kept; False: nothing was. Raises `DatabaseUnavailable`."""
    row = await database.fetchrow(SQL.last_known_flag, flags.flag_key)
    if row is None:
        return False
    version = f"version {row['version']} of {row['source']}, recorded at {row['at']:%Y-%m-%d %H:%M:%SZ}"
    flags.follow_last_known(json.loads(row["document"]), f"the last known flag stays in force ({version})")
    return True
