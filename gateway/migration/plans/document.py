"""The models of a plan, from which its JSON Schema is published (docs/plan.schema.json), and their parser.

They check the form; `validation` checks the meaning.
"""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gateway.access.placement import Tier
from gateway.dags.document import Document, misfits
from gateway.dags.document import parse as parse_yaml
from gateway.dags.errors import DagInvalid
from gateway.migration.plans.errors import PlanInvalid
from gateway.migration.stages.requests import Name, StageName, Why
from gateway.schedules.definition import TimeZone

#: Longest text of a plan (bytes), and most waves.
MOST_BYTES: Final = 1_000_000
MOST_WAVES: Final = 100

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

PlanName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=100)]
Duration = Annotated[
    str,
    Field(pattern=r"^(0|[1-9][0-9]{0,5}[smhd])$", description="A duration such as `90s`, `30m`, `4h` or `2d`, or `0`."),
]
Percent = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
TasksPercent = Annotated[float, Field(ge=0.001, le=100, multiple_of=0.001, allow_inf_nan=False)]
"""A weight in the flag is a thousandth of a percent."""
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _quoted(value: Any) -> Any:
    """YAML reads 22:00 as a number."""
    if isinstance(value, int):
        raise ValueError('write it in quotes: "22:00"')
    return value


def _written(value: Any) -> Any:
    """A number would be taken for seconds since 1970."""
    if not isinstance(value, str | date):
        raise ValueError("write it as 2026-12-24")
    return value


LocalDate = Annotated[date, BeforeValidator(_written)]
Clock = Annotated[str, BeforeValidator(_quoted), Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


def seconds(duration: str) -> float:
    """Of a `Duration`."""
    return 0.0 if duration == "0" else float(int(duration[:-1]) * _SECONDS[duration[-1]])


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Window(_Part):
    """Times of day in which tenants are moved, in the plan's time zone. A window may extend past midnight."""

    days: Annotated[list[Day], Field(min_length=1)] = Field(
        list(DAYS), description="Days on which the window begins. Default: every day."
    )
    from_: Clock = Field(alias="from")
    to: Clock

    @property
    def begins(self) -> time:
        return time.fromisoformat(self.from_)

    @property
    def ends(self) -> time:
        return time.fromisoformat(self.to)


class Freeze(_Part):
    """Days on which no tenant is moved. The last day is included."""

    from_: LocalDate = Field(alias="from")
    to: LocalDate


class ParityGate(_Part):
    """This share of the wave's tenants must have the verdict `pass`, each after this many tasks. No tenant may have
    `regress`."""

    samples: Annotated[
        int, Field(ge=30, le=1_000_000, description="Number of tasks of each tenant that must have ended on Temporal.")
    ] = 100
    tenants_percent: Percent = Field(100.0, description="Percentage of the wave's tenants that must pass.")


class Gates(_Part):
    """Conditions that must hold before a wave is over. Besides these, no guardrail may hold a tenant of the plan."""

    parity: ParityGate | None = None
    drain: Literal["drained"] | None = Field(
        None, description="`drained`: nothing of the wave's tenants is left on Redis."
    )
    approval: bool = Field(False, description="A person must approve the wave.")


class Wave(_Part):
    """Tenants that move together: by name (`tenants`), by tier, or a percentage of those that no wave names."""

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    tenants: Annotated[list[Name], Field(min_length=1, max_length=10_000)] | None = None
    tier: Tier | None = Field(None, description="Move all tenants of this tier, or `percent` of them.")
    percent: Percent | None = Field(
        None,
        description="Percentage of the tier's tenants, or of all tenants. It is cumulative: it includes those "
        "that earlier waves took.",
    )
    tasks_percent: TasksPercent | None = Field(
        None, description="Percentage of the tasks for whose tenant, project and type no stage is set."
    )
    stage: StageName | None = Field(None, description="Default: that of the plan.")
    bake: Duration | None = Field(None, description="Default: that of the plan.")
    gates: Gates | None = Field(None, description="Default: that of the plan.")

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        others = (self.tier is not None or self.percent is not None, self.tasks_percent is not None)
        if sum((self.tenants is not None, *others)) != 1:
            raise ValueError("give one of tenants, tier or percent (or both), tasks_percent")
        return self


class Plan(_Part):
    """Which tenants move to which stage, in which order, and what must hold before the next wave begins."""

    name: PlanName
    why: Why
    stage: StageName = "live"
    bake: Duration = "1h"
    gates: Gates = Gates()
    zone: TimeZone = "UTC"
    windows: Annotated[list[Window], Field(max_length=50)] = Field(
        [], description="Times in which tenants may be moved. Default: any time."
    )
    freeze: Annotated[list[Freeze], Field(max_length=200)] = []
    waves: Annotated[list[Wave], Field(min_length=1, max_length=MOST_WAVES)]

    def stage_of(self, wave: int) -> StageName:
        return self.waves[wave].stage or self.stage

    def bake_of(self, wave: int) -> timedelta:
        return timedelta(seconds=seconds(self.waves[wave].bake or self.bake))

    def gates_of(self, wave: int) -> Gates:
        return self.waves[wave].gates or self.gates

    def title_of(self, wave: int) -> str:
        """How people are told of a wave."""
        name = self.waves[wave].name
        return f"wave {wave + 1}" + ("" if name is None else f" ({name})")


def read_plan(text: str | bytes) -> tuple[Document, Plan]:
    """The plan, and where its parts stand. Raises `PlanInvalid` with everything that does not fit the schema."""
    try:
        document = parse_yaml(text, limit=MOST_BYTES)
    except DagInvalid as error:
        raise PlanInvalid(error.faults) from None
    try:
        return document, Plan.model_validate(document.data)
    except ValidationError as error:
        raise PlanInvalid(misfits(document, error)) from None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a plan."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Plan.model_json_schema(by_alias=True)}
