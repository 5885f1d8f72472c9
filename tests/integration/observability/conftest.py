"""Metrics of one process, and what they say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.sdk.resources import Resource
from prometheus_client.parser import text_string_to_metric_families

from backends.redis_queue.wire import TYPES
from gateway.observability.telemetry import Telemetry


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(Resource.get_empty(), otlp=False, known_types=TYPES, tenants=())


@pytest.fixture
def total() -> Callable[..., float]:
    """The sum of a metric's series that have these labels."""

    def read(page: str, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(page)
        every = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(one.value for one in every if labels.items() <= one.labels.items())

    return read
