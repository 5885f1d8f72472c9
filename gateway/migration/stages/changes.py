"""What was made of a change of a stage."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from gateway.migration.stages.view import override_view
from gateway.routing.flag_document import Json
from gateway.routing.flag_file import FlagChange
from gateway.routing.overrides import Override

#: Changes that somebody who is too late is shown.
MEANWHILE = 20


@dataclass(frozen=True, slots=True)
class Changed:
    """A change that was made. `warnings`: what was insisted on; `notes`: what may surprise."""

    change: FlagChange
    warnings: list[str]
    notes: list[str]

    def view(self) -> Json:
        return {**asdict(self.change), "warnings": self.warnings, "notes": self.notes}


@dataclass(frozen=True, slots=True)
class OverrideSet:
    """An override that was set; `warnings` and `notes` as of `Changed`."""

    override: Override
    warnings: list[str]
    notes: list[str]

    def view(self) -> Json:
        return {**override_view(self.override), "warnings": self.warnings, "notes": self.notes}
