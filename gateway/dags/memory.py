"""The memory of an episode that is carried out as a DAG: no step of it knows how the run ends."""

from __future__ import annotations

from gateway.dags.run_reader import SQL
from gateway.storage.database import Database, type_Connection
from gateway.tasks.payload import decode_payload


async def fail_memory(db: Database | type_Connection, run_id: str) -> None:
    """Mark the memory FAILED if the run is over and not completed. Raises `DatabaseUnavailable`.

    Whatever its steps have marked: one that was stopped or timed out may have had no time for it, and one that began
    beside it may have marked the memory PROCESSING since.
    """
    payload = await db.fetchval(SQL.episode_of_run, run_id)
    if payload is None:
        return
    memory_id = decode_payload(payload).get("memory_id")
    if isinstance(memory_id, str) and memory_id and "\0" not in memory_id:
        await db.execute(SQL.fail_memory, memory_id)
