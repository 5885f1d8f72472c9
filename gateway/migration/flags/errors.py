"""What can be wrong with a change of a stage (root: `gateway.errors.ApiError`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.errors import ApiError
from gateway.routing.flag_file import FlagChange


class StageChangeRefused(ApiError):
    """This change of a stage is refused; nothing was changed."""

    code = "stage_change_refused"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class FlagStoreRefuses(StageChangeRefused):
    """What holds the flag does not take this change, whoever asks; nothing was changed."""

    code = "flag_store_refuses"


class TasksStranded(StageChangeRefused):
    """Tasks that are left on Redis would be at stage `complete`."""

    @property
    def message(self) -> str:
        """A line for each tenant: nobody reads forty tenants in one line. No client's text is in it."""
        return str(self.args[0])


class FlagUnsound(ApiError):
    """What holds the flag is not valid; the last known flag stays in force."""

    code = "flag_unsound"
    http_status = 409
    grpc_status = "FAILED_PRECONDITION"


class FlagStoreUnavailable(ApiError):
    """What holds the flag cannot be read or written now; nothing was changed."""

    code = "flag_store_unavailable"
    http_status = 503
    grpc_status = "UNAVAILABLE"


class FlagOutcomeUnknown(FlagStoreUnavailable):
    """What holds the flag did not say whether this was done; look before you repeat it."""

    code = "flag_outcome_unknown"


class StageVersionStale(ApiError):
    """The stages were changed meanwhile; look again, then repeat."""

    code = "stage_version_stale"
    http_status = 409
    grpc_status = "ABORTED"

    def __init__(self, what: str, based_on: int, version: int, meanwhile: Sequence[FlagChange] = ()) -> None:
        changes = "; ".join(
            f"{one.who} changed {one.what} from {one.before} to {one.after} at {one.at} ({one.why})"
            for one in meanwhile[-3:]
        )
        super().__init__(
            f"{what} has version {version}, this change is based on {based_on}: "
            + (f"{changes}; " if changes else "")
            + "look again, then repeat"
        )
        self.version = version
        self.meanwhile = meanwhile
        """The newest changes that whoever asked has not seen."""

    @property
    def members(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "changes": [{name: getattr(one, name) for name in FlagChange.__slots__} for one in self.meanwhile],
        }
