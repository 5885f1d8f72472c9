"""What goes wrong while rows are taken out of the database."""

from __future__ import annotations

from backends.errors import TaskgateError


class ExportFailed(TaskgateError):
    """The rows were not stored; none of them was deleted."""

    code = "export_failed"


class ArchiveExtraMissing(TaskgateError):
    """TASKGATE_RETENTION_EXPORT names an S3 store, which needs the extra archive: pip install 'taskgate[archive]'"""

    code = "archive_extra_missing"
