"""Answers to nodes that wait; the first answer counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.dags.paths import APPROVAL_TYPE, SIGNAL_TYPE
from gateway.storage.database import Database, type_Connection
from gateway.storage.queries import Queries
from gateway.tasks.lifecycle.transitions import ChangeNotifier

SQL = Queries("gateway.dags", "answers.sql")


class Answers:
    """Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database, notifier: ChangeNotifier) -> None:
        self._db = database
        self._notifier = notifier

    async def approve(self, run_id: str, path: str, answer: dict[str, Any]) -> bool:
        """Approve or reject; False: the node does not wait for it (any more). `answer` has `approved`, `by`, …"""
        error = (
            None if answer["approved"] else f"Rejected by {answer['by']}: {answer.get('comment') or 'no reason given'}"
        )
        return await self._give(run_id, path, APPROVAL_TYPE, answer["by"], answer, error)

    async def signal(self, run_id: str, name: str, payload: Any, by: str) -> list[str]:
        """The nodes that got the signal. If none waits, the signal is kept for a later node, but only one."""
        paths = [row["path"] for row in await self._db.fetch(SQL.waiting_for, run_id, name)]
        reached = [path for path in paths if await self._give(run_id, path, SIGNAL_TYPE, by, payload, None)]
        if not reached:
            kept = await self._db.fetchval(SQL.keep_signal, run_id, name, orjson.dumps(payload).decode(), by)
            if kept is not None:
                # A node may have begun to wait between the two statements.
                reached = await self.deliver_early(run_id, [row["path"] for row in await self._waiting(run_id, name)])
        return reached

    async def deliver_early(self, run_id: str, paths: Sequence[str]) -> list[str]:
        """Give nodes that just began to wait the signals that came before them; each signal is used up then."""
        if not paths:
            return []
        reached: dict[str, str] = {}
        names: set[str] = set()
        async with self._db.transaction() as db:
            for row in await db.fetch(SQL.early_signals, run_id, list(paths)):
                payload = orjson.loads(row["payload"] or "null")
                task_id = await self._answer(db, run_id, row["path"], SIGNAL_TYPE, row["sent_by"] or "", payload, None)
                if task_id is not None:
                    reached[row["path"]] = task_id
                    names.add(row["name"])
            if names:
                await db.execute(SQL.forget_signals, run_id, list(names))
        for task_id in reached.values():
            self._notifier.changed(task_id)
        return list(reached)

    async def _waiting(self, run_id: str, name: str) -> list[Any]:
        return await self._db.fetch(SQL.waiting_for, run_id, name)

    async def _give(self, run_id: str, path: str, kind: str, by: str, answer: Any, error: str | None) -> bool:
        task_id = await self._answer(self._db, run_id, path, kind, by, answer, error)
        if task_id is None:
            return False
        self._notifier.changed(task_id)
        return True

    @staticmethod
    async def _answer(
        db: Database | type_Connection, run_id: str, path: str, kind: str, by: str, answer: Any, error: str | None
    ) -> str | None:
        """The id of the node's task; None: it does not wait (any more)."""
        text = orjson.dumps(answer).decode()
        found: str | None = await db.fetchval(SQL.answer, run_id, path, kind, error is None, text, error, f"user:{by}")
        return found
