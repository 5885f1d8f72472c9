"""Plans of the usual moves, for `taskgate migration plan new`. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

import yaml

from gateway.migration.plans.document import read_plan


class Template(StrEnum):
    """A usual move."""

    PILOT = "pilot"
    """A few tenants, then nobody."""
    STAGED = "staged"
    """A few tenants, then 5 %, 25 %, all."""
    TIERS = "tiers"
    """A few tenants, then standard, VIP and enterprise tenants."""
    NIGHT = "night"
    """As `staged`, on working days' nights only."""


_PARITY: Final = {"parity": {"samples": 100, "tenants_percent": 90}}
_SHARES: Final = ({"percent": 5}, {"percent": 25}, {"percent": 100})
_TIERS: Final = ({"tier": "standard"}, {"tier": "vip"}, {"tier": "enterprise", "gates": {"approval": True}})


def plan_of(
    template: Template, *, name: str, why: str, stage: str = "live", tenants: Sequence[str] = (), zone: str = "UTC"
) -> str:
    """The text of a plan. Parity is asked for where it can be told. Raises `PlanInvalid`."""
    waves: list[dict[str, Any]] = [{"name": "pilot", "tenants": list(tenants), "bake": "1d"}] if tenants else []
    if template is Template.TIERS:
        waves += _TIERS
    elif template is not Template.PILOT:
        waves += _SHARES
    document: dict[str, Any] = {"name": name, "why": why, "stage": stage, "bake": "4h", "zone": zone}
    if stage in ("live", "rampdown"):
        document["gates"] = _PARITY
    if template is Template.NIGHT:
        days = ["mon", "tue", "wed", "thu"]
        document["windows"] = [{"days": days, "from": "22:00", "to": "05:00"}]
    text = yaml.safe_dump({**document, "waves": waves}, sort_keys=False, allow_unicode=True, width=120)
    read_plan(text)
    return text
