"""The callback of a submission."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gateway.callbacks.address import LONGEST_URL


class CallbackEvent(StrEnum):
    """The ends of a task."""

    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"


class Callback(BaseModel):
    """A webhook for the end of a task (Standard Webhooks, signed with the tenant's secret).

    `url` is checked by `gateway.callbacks.address.check_callback`, when the task is submitted and when it is sent.
    """

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(min_length=1, max_length=LONGEST_URL)]
    events: Annotated[list[CallbackEvent] | None, Field(min_length=1, description="Default: every end")] = None

    def stored(self) -> dict[str, Any]:
        """As `taskgate.dispatch.callback` holds it."""
        return self.model_dump(mode="json", exclude_none=True)
