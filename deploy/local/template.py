"""A prepared PostgreSQL cluster in the cache: Temporal's schema and the namespace are in it already.

Setting those up takes many seconds, copying the files takes less than one; so does every test run that needs them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import asyncpg

from deploy.local import temporal_binaries
from deploy.local.builds import Report
from deploy.local.cache import obtain
from deploy.local.ports import free_port
from deploy.local.postgres import DATABASE, PostgresPart, Programs, ensure_database
from deploy.local.temporal import TemporalPart
from deploy.local.temporal_config import HISTORY_SHARDS, MAIN_DATABASE, SqlServer
from deploy.local.temporal_setup import DEFAULT_NAMESPACE, SEARCH_ATTRIBUTES

# To be raised when what is put into the template changes in a way that the key below does not see.
REVISION = 1


def key(postgres: Programs, temporal_version: str) -> str:
    """The template's name in the cache: other versions or contents make another template."""
    contents = [
        REVISION,
        postgres.version,
        temporal_version,
        DEFAULT_NAMESPACE,
        sorted(SEARCH_ATTRIBUTES.items()),
        HISTORY_SHARDS,
    ]
    return f"cluster-{hashlib.sha256(json.dumps(contents).encode()).hexdigest()[:12]}"


async def prepared_cluster(postgres: Programs, report: Report) -> Path:
    """The directory of the prepared cluster, made when it is missing."""
    programs = await temporal_binaries.locate(report)

    async def build(workspace: Path) -> None:
        report("postgres: preparing a cluster with Temporal's schema (once)")
        stack = workspace / "stack"
        database = PostgresPart(stack, free_port(), _silent, durable=False)
        temporal = TemporalPart(stack, free_port(), _silent, sql=SqlServer.from_url(database.url))
        try:
            await database.start()
            await ensure_database(database.database_url("postgres"), DATABASE)
            await temporal.start()
            await temporal.stop()
            await _forget_members(database.database_url(MAIN_DATABASE))
        finally:
            await temporal.stop()
            await database.stop()
        database.data.replace(workspace / "data")
        shutil.rmtree(stack)

    waiting = "postgres: another process prepares the cluster; waiting"
    entry = await obtain(key(postgres, programs.version), build, lambda: report(waiting))
    return entry / "data"


def _silent(line: str) -> None:
    """The progress of the template's own servers would only puzzle."""


async def _forget_members(url: str) -> None:
    # A server that starts on a copy within seconds would try to join the one that made the template.
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute("TRUNCATE cluster_membership")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
