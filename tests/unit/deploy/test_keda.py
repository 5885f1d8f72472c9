"""The Kubernetes manifests of the worker pools: what they name exists, in each other and in the gateway's answers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from backends.temporal import names
from gateway.fleet.documents import document
from gateway.fleet.pools import BACKEND_OF_POOL
from gateway.fleet.signals import assemble
from gateway.http.scale import router
from tests.unit.observability.pages import page_of

K8S = Path(__file__).parents[3] / "deploy" / "k8s"
#: What KEDA's documentation (2.17 and newer) requires of each kind of trigger.
REQUIRED = {
    "metrics-api": {"url", "valueLocation", "targetValue"},
    "prometheus": {"serverAddress", "query", "threshold"},
    "temporal": {"endpoint", "namespace", "taskQueue", "targetQueueSize", "queueTypes"},
}


def documents(file: str) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all((K8S / file).read_text()) if found]


DEPLOYMENTS = {one["metadata"]["name"]: one for one in documents("workers.yaml")}
OBJECTS = [one for one in documents("keda.yaml") if one["kind"] == "ScaledObject"]
AUTHENTICATIONS = {one["metadata"]["name"] for one in documents("keda.yaml") if one["kind"] == "TriggerAuthentication"}
TRIGGERS = [(one["metadata"]["name"], trigger) for one in OBJECTS for trigger in one["spec"]["triggers"]]


def of_kind(kind: str) -> list[Any]:
    return [pytest.param(name, one["metadata"], id=name) for name, one in TRIGGERS if one["type"] == kind]


def test_every_pool_has_a_deployment_and_a_scaler() -> None:
    pools = {one["spec"]["template"]["spec"]["containers"][0]["args"][1] for one in DEPLOYMENTS.values()}
    assert pools == set(BACKEND_OF_POOL)
    assert {one["spec"]["scaleTargetRef"]["name"] for one in OBJECTS} == DEPLOYMENTS.keys()


@pytest.mark.parametrize("deployment", DEPLOYMENTS.values(), ids=DEPLOYMENTS)
def test_deployments(deployment: dict[str, Any]) -> None:
    spec = deployment["spec"]
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert "replicas" not in spec
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > 30


@pytest.mark.parametrize(("name", "trigger"), TRIGGERS)
def test_triggers_have_what_keda_requires(name: str, trigger: dict[str, Any]) -> None:
    given = trigger["metadata"]
    assert REQUIRED[trigger["type"]] <= given.keys()
    assert all(isinstance(value, str) for value in given.values()), "KEDA refuses numbers and booleans"
    assert trigger.get("authenticationRef", {"name": None})["name"] in {*AUTHENTICATIONS, None}
    (target,) = [float(given[key]) for key in ("targetValue", "threshold", "targetQueueSize") if key in given]
    container = DEPLOYMENTS[name]["spec"]["template"]["spec"]["containers"][0]
    assert 0.5 <= target / int(container["args"][container["args"].index("--slots") + 1]) <= 1


@pytest.mark.parametrize(("name", "given"), of_kind("metrics-api"))
def test_the_gateway_answers_what_metrics_api_looks_for(name: str, given: dict[str, str]) -> None:
    assert given["url"].endswith("/gateway/v1/scale")
    assert any(getattr(route, "path", "") == "/gateway/v1/scale" for route in router.routes)
    found = re.fullmatch(r'pools\.#\(pool=="(\w+)"\)\.(\w+)', given["valueLocation"])
    assert found is not None
    (pool,) = [one for one in document(signals())["pools"] if one["pool"] == found[1]]
    assert pool[found[2]] == 0
    assert name.removeprefix("taskgate-worker-") == found[1].lower()


@pytest.mark.parametrize(("name", "given"), of_kind("prometheus"))
def test_the_gateway_has_the_metrics_that_prometheus_is_asked_for(name: str, given: dict[str, str]) -> None:
    found = re.fullmatch(r'max\((\w+)\{pool="(\w+)"\}\)', given["query"])
    assert found is not None
    assert re.search(rf'^{found[1]}{{[^}}]*pool="{found[2]}"}} 0\.0$', page_of(signals()), re.MULTILINE)
    assert name.removeprefix("taskgate-worker-") == found[2].lower()


@pytest.mark.parametrize(("name", "given"), of_kind("temporal"))
def test_temporals_scaler_watches_a_queue_that_tasks_go_to(name: str, given: dict[str, str]) -> None:
    assert given["taskQueue"] == names.shared_queue("add_episode")
    assert (name, given["queueTypes"]) == ("taskgate-worker-c", "activity")


def signals() -> Any:
    return assemble(datetime.now(UTC), 60.0, [], [], [], [])
