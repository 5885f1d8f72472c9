"""`Moment`: a time that a client gives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond what a clock shows in UTC") from None


#: With a time zone, and between the years 1 and 9999 also in UTC, which databases and drivers ask for.
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
