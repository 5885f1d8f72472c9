"""The callback of a submission."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gateway.callbacks.address import LONGEST_URL


class CallbackEvent(StrEnum):
    """How a task ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"


class Callback(BaseModel):
    """A webhook that is sent when the task ends (Standard Webhooks, signed with a secret of the tenant)."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[
        str,
        Field(
            min_length=1,
            max_length=LONGEST_URL,
            description="Where the webhook is sent. Checked when the task is submitted, and again when the webhook "
            "is sent.",
        ),
    ]
    events: Annotated[
        list[CallbackEvent] | None,
        Field(min_length=1, description="Ends of the task for which the webhook is sent. Default: all."),
    ] = None

    def stored(self) -> dict[str, Any]:
        """As `taskgate.dispatch.callback` holds it."""
        return self.model_dump(mode="json", exclude_none=True)
