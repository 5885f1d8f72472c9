"""What is imported when: a gateway, and a worker without graph tasks, stay light."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("graphiti_core", "neo4j", "sklearn", "openai", "numpy", "posthog")


@pytest.mark.parametrize(
    "statement",
    [
        "import workers.handlers.loader; workers.handlers.loader.load_registry()",
        "import workers.context",
        "import workers.graph.connection",
        "from gateway.graph import duplicates; duplicates.group_duplicates([duplicates.Entity('1', 'Alice')], 0.9)",
    ],
)
def test_nothing_heavy_comes_along(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_worker_of_redis_does_without_the_sdks_of_others() -> None:
    code = "import workers.process, sys\nprint([name for name in ('temporalio', 'ldclient') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_graphiti_is_told_to_stay_silent_before_it_is_imported() -> None:
    code = (
        "import os\nos.environ.pop('GRAPHITI_TELEMETRY_ENABLED', None)\nimport workers.graph.graphiti_client, sys\n"
        "from graphiti_core.telemetry.telemetry import is_telemetry_enabled\n"
        "print(is_telemetry_enabled(), 'posthog' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]
