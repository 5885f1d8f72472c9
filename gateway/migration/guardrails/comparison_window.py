"""From which outcome on a tenant is compared, and with what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.migration.guardrails.baseline import Run, TypeBaseline
from gateway.migration.guardrails.comparison import BLOCK, Tally, compare, fails_everywhere, strangers
from gateway.migration.guardrails.decision import Assessment
from gateway.migration.parity.eprocess import Rate


@dataclass(slots=True)
class ComparisonWindow:
    """`position`: of the last outcome that does not count. `block`: how often the count began anew (1: not yet).

    `baselines` None: not read yet, because nothing has ended. `aside`: task types that fail on Redis as well just now,
    in words: what they do meanwhile says nothing about the engine.
    """

    position: int
    block: int = 1
    baselines: Mapping[str, TypeBaseline] | None = None
    tally: Tally = field(default_factory=Tally)
    has_news: bool = False
    aside: dict[str, str] = field(default_factory=dict)

    def stored(self) -> dict[str, Any]:
        """As `Guard.since` holds it; the tally is counted again from the outcomes."""
        types = None if self.baselines is None else {name: one.stored() for name, one in self.baselines.items()}
        return {"position": self.position, "block": self.block, "types": types}

    @classmethod
    def of_stored(cls, stored: Mapping[str, Any]) -> ComparisonWindow:
        """The same from JSON, with nothing counted."""
        types = stored["types"]
        known = None if types is None else {name: TypeBaseline.of_stored(one) for name, one in types.items()}
        return cls(stored["position"], stored["block"], known)

    def add(self, run: Run) -> None:
        """Count what ended on Temporal; without baselines only that something did."""
        self.has_news = True
        if self.baselines is not None:
            self.tally.add(run, self.baselines.get(run.task_type))

    def judged(self) -> Assessment:
        """What the test says, were nothing wrong elsewhere."""
        return compare(self.baselines or {}, self.tally, block=self.block, aside=self.aside)

    def weighed(
        self, assessment: Assessment, beside: Mapping[str, Rate], position: int
    ) -> tuple[ComparisonWindow, Assessment]:
        """The same with what other tenants' tasks do on Redis just now (first runs, by type).

        What counted until `position` counts no more when it happened everywhere.
        """
        since, aside = self, dict(self.aside)
        while assessment.regression is not None:
            task_type = assessment.regression.task_type
            why = fails_everywhere(task_type, beside.get(task_type), assessment.regression.part)
            if why is None:
                break
            aside[task_type] = why
            since = self.anew(position, aside)
            assessment = compare(self.baselines or {}, self.tally, block=self.block, aside=aside)
        over = [name for name in self.aside if fails_everywhere(name, beside.get(name), 0.0) is None]
        if over:
            since = self.anew(position, {name: why for name, why in aside.items() if name not in over})
        doubts = {f"doubt:{name}": why for name, why in aside.items() if name not in over}
        return since, replace(assessment, doubts={**assessment.doubts, **doubts})

    def anew(self, position: int, aside: Mapping[str, str] | None = None) -> ComparisonWindow:
        """Begin to count anew."""
        return ComparisonWindow(
            position, self.block + 1, self.baselines, has_news=True, aside=dict(self.aside if aside is None else aside)
        )

    @property
    def is_full(self) -> bool:
        return self.tally.outcomes >= BLOCK

    def notes(self) -> dict[str, str]:
        """What is not compared, and why."""
        return {
            f"stranger:{name}": f"{name} has hardly run on redis: it is not compared, only limits watch it"
            for name in strangers(self.baselines or {}, self.tally)
        }
