"""The SDK itself as judge of what a flag means, over its own file source."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from ldclient import Config, LDClient
from ldclient.integrations import Files
from ldclient.migrations import Stage as SdkStage

from gateway.routing.flag_context import context_of
from gateway.routing.query import RouteQuery
from gateway.routing.stages import Stage

SdkStages = Callable[[dict[str, Any], Iterable[RouteQuery]], list[Stage]]


@pytest.fixture(scope="session")
def sdk_stages(tmp_path_factory: pytest.TempPathFactory) -> SdkStages:
    """What LaunchDarkly's SDK, reading the flag through its own `Files` source, answers to each query."""
    directory = tmp_path_factory.mktemp("sdk")

    def evaluate(flag: dict[str, Any], queries: Iterable[RouteQuery]) -> list[Stage]:
        path: Path = directory / "flags.json"
        path.write_text(json.dumps({"flags": {flag["key"]: flag}}))
        config = Config("unused", update_processor_class=Files.new_data_source([str(path)]), send_events=False)
        with LDClient(config) as client:
            assert client.is_initialized()
            answers = [client.migration_variation(flag["key"], context_of(query), SdkStage.OFF)[0] for query in queries]
        return [Stage(answer.value) for answer in answers]

    return evaluate
