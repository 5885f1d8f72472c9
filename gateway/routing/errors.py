"""What can be wrong with flags and overrides (root: `backends.errors.TaskgateError`)."""

from __future__ import annotations

from backends.errors import TaskgateError


class FlagError(TaskgateError):
    """The flag could not be read or changed."""

    code = "flag_error"


class FlagFileInvalid(FlagError):
    """The flag file is not valid."""

    code = "flag_file_invalid"


class FlagFileBusy(FlagError):
    """The flag file is being edited by somebody else."""

    code = "flag_file_busy"


class FlagChangeRefused(FlagError):
    """This change of the flag makes no sense; nothing was changed."""

    code = "flag_change_refused"


class FlagVersionStale(FlagError):
    """The flag was changed meanwhile; nothing was changed."""

    code = "flag_version_stale"
