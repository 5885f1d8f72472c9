"""What goes wrong while rows are taken out of the database."""

from __future__ import annotations

from backends.errors import TaskgateError


class ExportFailed(TaskgateError):
    """The rows were not stored; none of them was deleted."""

    code = "export_failed"
