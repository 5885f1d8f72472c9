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
Duration = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,5}[smhd])$", description="`90s`, `30m`, `4h`, `2d`; `0`")]
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
    """Times of the day in which tenants are moved, by the clock of the plan's time zone; it may go past midnight."""

    days: Annotated[list[Day], Field(min_length=1)] = Field(list(DAYS), description="On which it begins")
    from_: Clock = Field(alias="from")
    to: Clock

    @property
    def begins(self) -> time:
        return time.fromisoformat(self.from_)

    @property
    def ends(self) -> time:
        return time.fromisoformat(self.to)


class Freeze(_Part):
    """Whole days, the last one included, on which no tenant is moved."""

    from_: LocalDate = Field(alias="from")
    to: LocalDate


class ParityGate(_Part):
    """So many of a wave's tenants must have the verdict `pass` after so many of their tasks; none may `regress`."""

    samples: Annotated[int, Field(ge=30, le=1_000_000)] = 100
    tenants_percent: Percent = 100.0


class Gates(_Part):
    """What must hold before a wave is over. Guardrails must be quiet in any case."""

    parity: ParityGate | None = None
    drain: Literal["drained"] | None = Field(None, description="Nothing of the wave's tenants is left on Redis")
    approval: bool = Field(False, description="A person has approved the wave")


class Wave(_Part):
    """Tenants that move together: by name, by tier, or a percentage of those nobody has named."""

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    tenants: Annotated[list[Name], Field(min_length=1, max_length=10_000)] | None = None
    tier: Tier | None = Field(None, description="All of the tier, or `percent` of it")
    percent: Percent | None = Field(None, description="Of the tier's tenants, or of all, with those of earlier waves")
    tasks_percent: TasksPercent | None = Field(None, description="Of the tasks of everybody for whom nothing is set")
    stage: StageName | None = Field(None, description="Default: the plan's")
    bake: Duration | None = Field(None, description="Default: the plan's")
    gates: Gates | None = Field(None, description="Default: the plan's")

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        others = (self.tier is not None or self.percent is not None, self.tasks_percent is not None)
        if sum((self.tenants is not None, *others)) != 1:
            raise ValueError("give one of tenants, tier or percent (or both), tasks_percent")
        return self


class Plan(_Part):
    """Who is moved to which stage, in which order, and what must hold before it goes on."""

    name: PlanName
    why: Why
    stage: StageName = "live"
    bake: Duration = "1h"
    gates: Gates = Gates()
    zone: TimeZone = "UTC"
    windows: Annotated[list[Window], Field(max_length=50)] = Field([], description="None: at any time")
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
