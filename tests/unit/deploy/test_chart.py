"""The Helm chart over several values: it renders, Kubernetes takes what it renders, and what it names is the code's."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import pytest_asyncio
import yaml

from deploy.local.helm import PROGRAM
from deploy.local.pytest_stack import BUILD_SECONDS
from deploy.local.temporal_config import dynamic_config
from deploy.local.versions import pinned
from gateway.codec_server.server import CodecServer
from gateway.dags.checking import Checker
from gateway.dags.confinement import MEGABYTES as STEP_MEGABYTES
from gateway.fleet.pools import BACKEND_OF_POOL
from gateway.fleet.scale_document import document
from gateway.fleet.signals import assemble
from gateway.http.health import router as health_router
from gateway.http.health import taskgate_version
from gateway.http.scale import router as scale_router
from gateway.migration.preview.preview import MEGABYTES as PREVIEW_MEGABYTES
from gateway.sandbox.checks import CHECK_MEGABYTES
from gateway.sandbox.pool import Sandbox
from gateway.settings import Settings
from tests.unit.cli.parsing import parses

DEPLOY = Path(__file__).parents[3] / "deploy"
CHART = DEPLOY / "helm" / "taskgate"
VALUES = sorted((DEPLOY / "helm" / "values").glob("*.yaml"))
OBSERVABILITY = DEPLOY / "observability"
#: Kubernetes that the manifests are for, and checked with.
KUBERNETES = "1.34.0"
#: Kinds of operators, whose schemas Kubernetes has not; tests below look at them.
OF_OPERATORS = {"ScaledObject", "TriggerAuthentication", "ExternalSecret", "PrometheusRule"}
MIB = 1024 * 1024
#: What a process uses that does nothing (megabytes): docs/benchmarks.md, docs/workers.md.
IDLE_GATEWAY, IDLE_WORKER = 135, 451
#: What an installation without defaults must be told.
REQUIRED = ["secret.existing", "keda.keySecret", "migrate.ownerSecret", "temporal.address"]

Manifest = dict[str, Any]

#: Helm may have to be built first.
pytestmark = pytest.mark.timeout(BUILD_SECONDS)


@pytest_asyncio.fixture(autouse=True)
async def _helm() -> None:
    """`helm` below is on disk: built, the first time."""
    HELM.append(str(await PROGRAM.locate(print)))


HELM: list[str] = []


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [HELM[-1], *arguments, "--kube-version", KUBERNETES]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "HELM_NO_PLUGINS": "1"}
    )


@cache
def rendered(values: Path) -> list[Manifest]:
    done = helm("template", "tg", str(CHART), "--namespace", "tasks", "--values", str(values))
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def of(kind: str, values: Path) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one for one in rendered(values) if one["kind"] == kind}


def pod(manifest: Manifest) -> Manifest:
    template: Manifest = manifest["spec"]["template"]["spec"]
    return template


def settings_of(values: Path) -> dict[str, str]:
    found: dict[str, str] = dict(of("ConfigMap", values)["tg-settings"]["data"])
    return found | of("Secret", values).get("tg-settings", {}).get("stringData", {})


each = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)


@each
def test_lint(values: Path) -> None:
    done = helm("lint", str(CHART), "--strict", "--values", str(values))
    assert done.returncode == 0, done.stdout + done.stderr


@each
def test_kubernetes_takes_it(values: Path) -> None:
    for manifest in rendered(values):
        if manifest["kind"] not in OF_OPERATORS:
            kubernetes_validate.validate(manifest, KUBERNETES.rpartition(".")[0], strict=True)


def test_kubernetes_refuses_what_is_misspelt() -> None:
    manifest = json.loads(json.dumps(of("Deployment", VALUES[0])["tg-gateway"]))
    pod(manifest)["terminationGracePeriod"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, KUBERNETES.rpartition(".")[0], strict=True)


def test_missing_values_are_one_line_that_names_them() -> None:
    done = helm("template", "tg", str(CHART))
    assert done.returncode == 1
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("Error")]
    assert all(name in line for name in REQUIRED), line
    bundled = helm(
        "template", "tg", str(CHART), "--set", "secret.existing=s,keda.enabled=false,temporal.bundled.enabled=true"
    )
    (line,) = [one for one in bundled.stderr.splitlines() if one.startswith("Error")]
    assert line.endswith("missing values: temporal.bundled.sql.host, temporal.bundled.sql.passwordSecret")


@each
def test_settings_are_valid(values: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings_of(values)
    ours = {name for name in given if name.startswith("TASKGATE_")}
    assert {name.removeprefix("TASKGATE_").lower() for name in ours} <= Settings.model_fields.keys()
    assert all(name in ours or name.startswith("OTEL_") for name in given)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    gateway = pod(of("Deployment", values)["tg-gateway"])
    assert gateway["terminationGracePeriodSeconds"] > settings.leave_seconds + settings.drain_seconds
    # By then every proxy has seen that `ready` is off.
    probe = gateway["containers"][0]["readinessProbe"]
    assert settings.leave_seconds > probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    for name, one in of("Deployment", values).items():
        if "worker" in name:
            assert pod(one)["terminationGracePeriodSeconds"] > settings.worker_drain_seconds


def test_values_that_are_no_text_arrive_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """YAML's numbers are floats to Helm, which writes large ones with an exponent."""
    given = {
        "TASKGATE_MAX_BODY_BYTES": 20971520,
        "TASKGATE_GRPC_PORT": 50052,
        "TASKGATE_TRACE_SHARE": 0.05,
        "TASKGATE_GRPC_ENABLED": False,
        "TASKGATE_ALLOWED_ORIGINS": ["https://a.example", "https://b.example/?x=<&>"],
        "TASKGATE_RETENTION_TENANTS": {"acme": {"task_days": 365}},
        "TASKGATE_LLM_MODEL": 'a "b" \\ c: {d}',
    }
    secret = {"TASKGATE_DATABASE_URL": "postgresql://a:b@c/d", "TASKGATE_MAX_HELD_BYTES": 1073741824}
    values = tmp_path / "values.yaml"
    values.write_text(
        yaml.safe_dump(
            {
                "settings": given,
                "secret": {"values": secret},
                "migrate": {"enabled": False},
                "keda": {"enabled": False},
                "temporal": {"address": "t:7233"},
            }
        )
    )
    for name, value in settings_of(values).items():
        assert isinstance(value, str), name
        monkeypatch.setenv(name, value)
    settings = Settings()
    for name, meant in given.items():
        if name != "TASKGATE_RETENTION_TENANTS":
            assert getattr(settings, name.removeprefix("TASKGATE_").lower()) == meant
    assert settings.retention_tenants["acme"].task_days == 365
    assert settings.max_held_bytes == 1 << 30


@each
def test_memory_limits_are_above_what_the_code_may_use(values: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the system kills what the code would have refused."""
    for name, value in settings_of(values).items():
        monkeypatch.setenv(name, value)
    children = inspect.signature(Sandbox).parameters["processes"].default
    checkers = inspect.signature(Checker).parameters["processes"].default
    gateway = (
        IDLE_GATEWAY
        + Settings().max_held_bytes // MIB
        + (children + checkers) * CHECK_MEGABYTES  # requests, and definitions of DAGs
        + PREVIEW_MEGABYTES
    )
    assert limit(of("Deployment", values)["tg-gateway"]) > gateway
    for name, one in of("Deployment", values).items():
        if "worker" in name:
            arguments = pod(one)["containers"][0]["args"]
            processes = int(arguments[arguments.index("--processes") + 1])
            assert limit(one) > processes * (IDLE_WORKER + children * STEP_MEGABYTES)


def limit(deployment: Manifest) -> int:
    """Of memory, in MiB."""
    (container,) = pod(deployment)["containers"]
    number, unit = re.fullmatch(r"(\d+)([GM])i", container["resources"]["limits"]["memory"]).groups()  # type: ignore[union-attr]
    return int(number) * (1024 if unit == "G" else 1)


def test_volumes_of_the_installations_own(tmp_path: Path) -> None:
    """As the comments in values.yaml have it."""
    values = yaml.safe_load(VALUES[0].read_text())
    example = re.findall(r"#   (extraVolume.*)", (CHART / "values.yaml").read_text())
    own = yaml.safe_load("\n".join(example))
    assert own.keys() == {"extraVolumes", "extraVolumeMounts"}
    for part in ("gateway", "workers"):
        values[part] = values.get(part, {}) | own
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    for manifest in rendered(file):
        if manifest["kind"] == "Deployment":
            kubernetes_validate.validate(manifest, KUBERNETES.rpartition(".")[0], strict=True)
            spec = pod(manifest)
            assert own["extraVolumes"][0] in spec["volumes"]
            assert own["extraVolumeMounts"][0] in spec["containers"][0]["volumeMounts"]


@each
def test_services_of_the_namespace_set_no_variables(values: Path) -> None:
    """A Service `taskgate-codec` would set TASKGATE_CODEC_PORT."""
    for kind in ("Deployment", "StatefulSet", "Job"):
        for name, one in of(kind, values).items():
            assert pod(one)["enableServiceLinks"] is False, name


@each
def test_commands_are_taskgates(values: Path) -> None:
    pools = set()
    for name, one in of("Deployment", values).items():
        arguments = pod(one)["containers"][0]["args"]
        if "worker" in name:
            parses(["worker", *arguments])
            pools.add(arguments[1])
            assert name == f"tg-worker-{arguments[1].lower()}"
        else:
            parses(arguments)
    parses(pod(of("Job", values)["tg-migrate"])["containers"][0]["args"])
    assert pools == ({"redis"} if values.stem == "existing-servers" else set(BACKEND_OF_POOL))


@each
def test_probes_and_ports(values: Path) -> None:
    (container,) = pod(of("Deployment", values)["tg-gateway"])["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert ports == {"http": Settings().http_port, "grpc": Settings().grpc_port}
    paths = {getattr(route, "path", "") for route in health_router.routes}
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert [one["path"] for one in probes] == ["/gateway/v1/started", "/health", "/gateway/v1/ready"]
    assert {one["path"] for one in probes} <= paths
    assert [one["targetPort"] for one in of("Service", values)["tg-gateway"]["spec"]["ports"]] == ["http", "grpc"]


@each
def test_the_codec_server_is_reached_by_whom_it_is_for(values: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if values.stem != "full":
        assert "tg-codec" not in {*of("Deployment", values), *of("Service", values), *of("NetworkPolicy", values)}
        return
    (container,) = pod(of("Deployment", values)["tg-codec"])["containers"]
    for one in container["env"]:
        monkeypatch.setenv(one["name"], one["value"])
    settings = Settings()
    assert (settings.codec_host, settings.codec_port) == ("0.0.0.0", container["ports"][0]["containerPort"])
    given = yaml.safe_load(values.read_text())["codec"]
    assert settings.codec_origins == given["origins"]
    assert of("NetworkPolicy", values)["tg-codec"]["spec"]["ingress"] == [
        {"ports": [{"port": "http"}], "from": given["from"]}
    ]
    unused: Any = None
    server = CodecServer(unused, unused, unused, origins=[], max_body_bytes=1)
    paths = {getattr(route, "path", "") for route in server.app.routes}
    for probe in ("liveness", "readiness"):
        assert container[f"{probe}Probe"]["httpGet"]["path"] in paths


@each
def test_pods_are_unprivileged_and_spread(values: Path) -> None:
    for one in [*of("Deployment", values).values(), *of("StatefulSet", values).values()]:
        spec = pod(one)
        assert spec["securityContext"]["runAsNonRoot"]
        assert {rule["topologyKey"] for rule in spec["topologySpreadConstraints"]} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        for rule in spec["topologySpreadConstraints"]:
            assert rule["labelSelector"] == one["spec"]["selector"]
        for container in spec["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


@each
def test_what_selects_pods_selects_some(values: Path) -> None:
    pods = {*of("Deployment", values), *of("StatefulSet", values)}
    assert of("PodDisruptionBudget", values).keys() == pods
    labels = [
        one["spec"]["template"]["metadata"]["labels"]
        for kind in ("Deployment", "StatefulSet", "Job")
        for one in of(kind, values).values()
    ]
    selectors = [one["spec"]["selector"]["matchLabels"] for one in of("PodDisruptionBudget", values).values()]
    selectors += [one["spec"]["selector"] for one in of("Service", values).values()]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in of("NetworkPolicy", values).values()]
    for selector in selectors:
        assert any(selector.items() <= one.items() for one in labels)
    (workers,) = of("NetworkPolicy", values)["tg-workers"]["spec"]["podSelector"]["matchExpressions"]
    components = {one["app.kubernetes.io/component"] for one in labels}
    assert {one for one in components if one.startswith("worker")} <= set(workers["values"])
    assert not components & {"gateway", "temporal"} & set(workers["values"])


@each
def test_the_migration_has_a_secret_of_its_own(values: Path) -> None:
    """Of the owner of `task_logs`: the role of docs/install.md that gateways have may not migrate."""
    (job,) = pod(of("Job", values)["tg-migrate"])["containers"]
    (url,) = [one["valueFrom"]["secretKeyRef"]["name"] for one in job["env"] if one["name"] == "TASKGATE_DATABASE_URL"]
    (gateway,) = pod(of("Deployment", values)["tg-gateway"])["containers"]
    assert url not in {one["secretRef"]["name"] for one in gateway["envFrom"] if "secretRef" in one}


def test_what_pods_wait_for_waits_for_no_pod() -> None:
    """When told to wait, Helm runs hooks of `post-install` when all is ready, and workers wait for the namespace."""
    hooks = {
        name: one["metadata"].get("annotations", {}).get("helm.sh/hook")
        for name, one in of("Job", CHART.parent / "values" / "full.yaml").items()
    }
    assert hooks == {"tg-migrate": "pre-install,pre-upgrade", "tg-temporal-namespace-1": None}


def test_a_browser_may_stay_with_one_gateway() -> None:
    values = CHART.parent / "values" / "full.yaml"
    assert of("Service", values)["tg-gateway"]["spec"]["sessionAffinity"] == "None"
    chosen = ("--values", str(values), "--set", "gateway.service.sessionAffinity=ClientIP")
    done = helm("template", "tg", str(CHART), *chosen, "--show-only", "templates/gateway.yaml")
    (service,) = [one for one in yaml.safe_load_all(done.stdout) if one["kind"] == "Service"]
    assert service["spec"]["sessionAffinity"] == "ClientIP"


def test_prometheus_is_let_in_where_there_are_rules() -> None:
    full = next(one for one in VALUES if one.stem == "full")
    assert of("PrometheusRule", full)
    (ingress,) = of("NetworkPolicy", full)["tg-gateway"]["spec"]["ingress"]
    selectors = [one["namespaceSelector"]["matchLabels"] for one in ingress["from"] if "namespaceSelector" in one]
    assert {"kubernetes.io/metadata.name": "monitoring"} in selectors


@each
def test_only_the_release_reaches_its_temporal(values: Path) -> None:
    """It knows no keys: who reaches it starts and ends what it likes."""
    policies = of("NetworkPolicy", values)
    pods = [*of("Deployment", values).values(), *of("StatefulSet", values).values(), *of("Job", values).values()]
    for labels in (one["spec"]["template"]["metadata"]["labels"] for one in pods):
        assert any(_selects(one["spec"]["podSelector"], labels) for one in policies.values()), labels
    assert ("tg-temporal" in policies) == ("tg-temporal" in of("StatefulSet", values))
    for rule in policies.get("tg-temporal", {"spec": {"ingress": []}})["spec"]["ingress"]:
        if rule.get("ports") != [{"port": "metrics"}]:
            assert rule["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "tg"}}}]
    if "tg-temporal" in policies:
        (metrics,) = [rule for rule in policies["tg-temporal"]["spec"]["ingress"] if "ports" in rule]
        assert metrics.get("from", []) == yaml.safe_load(values.read_text()).get("networkPolicy", {}).get("from", [])


def _selects(selector: Manifest, labels: dict[str, str]) -> bool:
    expressions = [one for one in selector.get("matchExpressions", []) if one["operator"] == "In"]
    assert len(expressions) == len(selector.get("matchExpressions", []))
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )


@each
def test_keda_follows_what_the_gateway_answers(values: Path) -> None:
    """What KEDA's documentation (2.17 and newer) requires of a `metrics-api` trigger."""
    scaled = of("ScaledObject", values)
    workers = {name: one for name, one in of("Deployment", values).items() if "worker" in name}
    assert set(scaled) == (set(workers) if values.stem in ("full", "temporal-cloud") else set())
    assert all(("replicas" in one["spec"]) != (name in scaled) for name, one in workers.items())
    for name, one in scaled.items():
        spec = one["spec"]
        assert (spec["scaleTargetRef"], spec["minReplicaCount"]) == ({"name": name}, 1)
        (trigger,) = spec["triggers"]
        given = trigger["metadata"]
        assert trigger["type"] == "metrics-api"
        assert all(isinstance(value, str) for value in given.values()), "KEDA refuses numbers and booleans"
        assert given["url"] == "http://tg-gateway.tasks:8080/gateway/v1/scale"
        assert any(getattr(route, "path", "") == "/gateway/v1/scale" for route in scale_router.routes)
        found = re.fullmatch(r'pools\.#\(pool=="(\w+)"\)\.(\w+)', given["valueLocation"])
        assert found is not None
        (pool,) = [
            one
            for one in document(assemble(datetime.now(UTC), 60.0, [], [], [], []))["pools"]
            if one["pool"] == found[1]
        ]
        assert pool[found[2]] == 0
        arguments = pod(workers[name])["containers"][0]["args"]
        assert found[1] == arguments[1]
        assert 0.5 <= float(given["targetValue"]) / int(arguments[arguments.index("--slots") + 1]) <= 1
        (authentication,) = of("TriggerAuthentication", values).values()
        assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}
        (parameter,) = authentication["spec"]["secretTargetRef"]
        assert (parameter["parameter"], parameter["name"], parameter["key"]) == ("token", "taskgate-scale", "api-key")


def test_rules_dashboards_and_temporals_files_are_those_of_the_other_folders() -> None:
    full = CHART.parent / "values" / "full.yaml"
    (rules,) = of("PrometheusRule", full).values()
    assert rules["spec"] == yaml.safe_load((OBSERVABILITY / "rules.yml").read_text())
    dashboards = {name: json.loads(text) for name, text in of("ConfigMap", full)["tg-dashboards"]["data"].items()}
    assert dashboards == {file.name: json.loads(file.read_text()) for file in (OBSERVABILITY / "dashboards").iterdir()}
    temporal = of("ConfigMap", full)["tg-temporal"]["data"]
    assert yaml.safe_load(temporal["dynamic-config.yaml"]) == dynamic_config()
    for name in ("schema", "namespace"):
        assert temporal[f"{name}.sh"].strip() == (DEPLOY / "docker" / f"temporal-{name}.sh").read_text().strip()


def test_versions_are_the_pinned_ones() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == taskgate_version()
    bundled = yaml.safe_load((CHART / "values.yaml").read_text())["temporal"]["bundled"]
    assert bundled["image"] == pinned().images["temporal"]
    assert bundled["toolsImage"] == pinned().images["temporal-tools"]


def test_the_secret_of_a_store_is_the_one_that_pods_read() -> None:
    full = CHART.parent / "values" / "full.yaml"
    (external,) = of("ExternalSecret", full).values()
    assert external["spec"]["secretStoreRef"] == {"name": "vault", "kind": "ClusterSecretStore"}
    (container,) = pod(of("Deployment", full)["tg-gateway"])["containers"]
    assert container["envFrom"][1] == {"secretRef": {"name": external["spec"]["target"]["name"]}}
    (migrate,) = pod(of("Job", full)["tg-migrate"])["containers"]
    assert migrate["env"][0]["valueFrom"]["secretKeyRef"]["name"] == "taskgate-owner"
