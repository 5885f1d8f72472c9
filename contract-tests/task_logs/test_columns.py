"""Contract §6: the table stays what it is."""

from __future__ import annotations

from contracts.world import World

COLUMNS = {
    "id": ("character varying", "NO"),
    "group_id": ("character varying", "YES"),
    "task_type": ("character varying", "YES"),
    "status": ("character varying", "YES"),
    "created_at": ("timestamp with time zone", "YES"),
    "started_at": ("timestamp with time zone", "YES"),
    "completed_at": ("timestamp with time zone", "YES"),
    "stopped_at": ("timestamp with time zone", "YES"),
    "error_message": ("text", "YES"),
    "worker_id": ("character varying", "YES"),
    "retry_count": ("integer", "YES"),
    "payload": ("json", "YES"),
    "progress": ("integer", "YES"),
    "result": ("json", "YES"),
    "message": ("character varying", "YES"),
    "entity_id": ("character varying", "YES"),
    "entity_type": ("character varying", "YES"),
    "parent_task_id": ("character varying", "YES"),
}


async def test_no_column_is_added_renamed_or_retyped(world: World) -> None:
    rows = await world.database.fetch(
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = 'task_logs'"
    )
    assert {row["column_name"]: (row["data_type"], row["is_nullable"]) for row in rows} == COLUMNS


async def test_nothing_watches_or_narrows_the_table(world: World) -> None:
    """Unmodified legacy code writes it, as superuser or not: no triggers, rules, policies or further constraints."""
    table = "'public.task_logs'::regclass"
    found = await world.database.fetch(
        f"SELECT tgname FROM pg_trigger WHERE tgrelid = {table} AND NOT tgisinternal"
        f" UNION ALL SELECT polname FROM pg_policy WHERE polrelid = {table}"
        f" UNION ALL SELECT rulename FROM pg_rewrite WHERE ev_class = {table}"
        f" UNION ALL SELECT conname FROM pg_constraint WHERE conrelid = {table} AND contype <> 'p' AND contype <> 'n'"
    )
    assert [row[0] for row in found] == []


async def test_a_legacy_writer_can_write_anything(world: World) -> None:
    """Whatever a legacy producer put into a row before, it can put there now."""
    for number, payload in enumerate(("null", "[]", '"\\u0000"', '{"tenant_id": "\\ud800"}', '{"a": 1e400}')):
        task_id = f"{world.stage}-anything-{number}"
        await world.database.execute(
            "INSERT INTO task_logs (id, group_id, task_type, status, payload, message)"
            " VALUES ($1, $2, $3, 'PENDING', $4::json, $5)",
            task_id,
            "g" * 2000,
            "t" * 2000,
            payload,
            "m" * 3000,
        )
        odd = "UPDATE task_logs SET status = 'odd', entity_id = $2 WHERE id = $1"
        await world.database.execute(odd, task_id, "e" * 2000)
        await world.database.execute("DELETE FROM task_logs WHERE id = $1", task_id)
