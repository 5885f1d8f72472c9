"""The gateway and the console's editor read YAML alike: both are tested by the same table (`reading.test.ts`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.dags.document import parse
from gateway.dags.errors import DagInvalid

READINGS = json.loads((Path(__file__).parents[3] / "gateway/console/tests/readings.json").read_text("utf-8"))


@pytest.mark.parametrize(("text", "value"), READINGS["means"])
def test_text_means_the_same_in_the_editor(text: str, value: Any) -> None:
    assert parse(text, limit=1_000).data == value


@pytest.mark.parametrize("text", READINGS["refused"])
def test_text_is_refused_as_in_the_editor(text: str) -> None:
    with pytest.raises(DagInvalid):
        parse(text, limit=1_000)
