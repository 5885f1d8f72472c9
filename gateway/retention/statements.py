"""The statements of retention, with their common conditions filled in."""

from __future__ import annotations

from typing import Final

from gateway.storage.queries import Queries

SQL: Final = Queries("gateway.retention", "retention.sql")

_DUE_LOG = SQL.due_log.replace("/*unneeded*/", SQL.unneeded)
FORGET_TASKS: Final = SQL.forget_tasks.replace("/*unneeded*/", SQL.unneeded)
TO_EXPORT: Final = SQL.to_export.replace("/*due_log*/", _DUE_LOG)
DELETE_EXPORTED: Final = SQL.delete_exported.replace("/*due_log*/", _DUE_LOG)
