from __future__ import annotations

import pytest
from ldclient.migrations import Stage as SdkStage

from gateway.routing.stages import Stage, allows_redis, allows_temporal, backend_of, effective, meaning


def test_the_stages_are_launchdarklys() -> None:
    assert [stage.value for stage in Stage] == [stage.value for stage in SdkStage]


@pytest.mark.parametrize(
    ("stage", "acts_as", "backend", "redis", "temporal"),
    [
        ("off", "off", "redis", True, False),
        ("dualwrite", "off", "redis", True, False),
        ("shadow", "off", "redis", True, False),
        ("live", "live", "temporal", True, True),
        ("rampdown", "rampdown", "temporal", True, True),
        ("complete", "complete", "temporal", False, True),
    ],
)
def test_what_a_stage_means(stage: str, acts_as: str, backend: str, redis: bool, temporal: bool) -> None:
    it = Stage(stage)
    assert effective(it) is Stage(acts_as)
    assert backend_of(it) == backend
    assert allows_redis(it) is redis
    assert allows_temporal(it) is temporal
    assert backend.capitalize() in meaning(it)


def test_parse_is_forgiving_about_case_and_space() -> None:
    assert Stage.parse(" Live ") is Stage.LIVE


def test_parse_names_the_stages() -> None:
    with pytest.raises(ValueError, match="'lvie' is not a stage; the stages are off, dualwrite, shadow, live"):
        Stage.parse("lvie")
