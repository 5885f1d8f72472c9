"""The two sizes of the compose file: each whole in itself, and every command, port and setting in it is the code's."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.fleet.pools import BACKEND_OF_POOL
from gateway.settings import Settings
from tests.unit.cli.parsing import parses

CHECKOUT = Path(__file__).parents[3]
DOCKER = CHECKOUT / "deploy" / "docker"
TEXT = (CHECKOUT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SIZES = ("small", "full")
#: Variables of the file itself: where a part listens, and one password.
OF_THE_FILE = re.compile(r"TASKGATE_(PORT_\w+|POSTGRES_PASSWORD)")
OWN = {name: one for name, one in SERVICES.items() if "build" in one}


def of_size(size: str) -> dict[str, dict[str, Any]]:
    return {name: service for name, service in SERVICES.items() if size in service["profiles"]}


def plain(value: str) -> str:
    """With the defaults of its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


@pytest.mark.parametrize("size", SIZES)
def test_a_size_is_whole(size: str) -> None:
    services = of_size(size)
    for service in services.values():
        needs = service.get("depends_on", {})
        assert {name for name, need in needs.items() if need.get("required", True)} <= services.keys()
        assert needs.keys() <= SERVICES.keys()
    ports = Counter(plain(port) for service in services.values() for port in service.get("ports", []))
    assert [port for port, times in ports.items() if times > 1] == []


def test_the_full_size_has_every_pool_two_gateways_and_three_nodes() -> None:
    full = of_size("full")
    pools = [one["command"][1] for one in full.values() if one.get("command", [""])[0] == "--pool"]
    assert sorted(pools) == sorted(BACKEND_OF_POOL)
    assert {"gateway-1", "gateway-2", "temporal-1", "temporal-2", "temporal-3"} <= full.keys()
    assert {
        one["environment"]["POSTGRES_SEEDS"]
        for name, one in full.items()
        if name.startswith("temporal-") and ("server" in one["image"])
    } == {"temporal-postgres"}


@pytest.mark.parametrize("name", OWN)
def test_settings_are_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {key: plain(value) for key, value in OWN[name]["environment"].items()}
    ours = {key for key in environment if key.startswith("TASKGATE_")}
    assert {key.removeprefix("TASKGATE_").lower() for key in ours} <= Settings.model_fields.keys()
    assert all(key in ours or key.startswith("OTEL_") for key in environment)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    Settings()


def test_every_name_of_ours_is_a_setting_or_the_files_own() -> None:
    names = set(re.findall(r"TASKGATE_\w+", TEXT))
    known = {f"TASKGATE_{name.upper()}" for name in Settings.model_fields} | {"TASKGATE_ADMIN_KEY"}
    assert [name for name in names - known if not OF_THE_FILE.fullmatch(name)] == []


def test_the_keys_that_prometheus_reads_are_those_that_seed_writes() -> None:
    script = SERVICES["setup"]["command"][0]
    assert "^TASKGATE_ADMIN_KEY=" in script
    written = re.findall(r"> (\S+)$", script, re.MULTILINE)
    config = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    assert Path(config["scrape_configs"][0]["authorization"]["credentials_file"]).name in written
    (volume,) = [one.split(":")[0] for one in SERVICES["setup"]["volumes"]]
    assert f"{volume}:/etc/taskgate:ro" in SERVICES["prometheus"]["volumes"]


def test_commands_are_taskgates() -> None:
    lines = [
        line.strip() for line in SERVICES["setup"]["command"][0].splitlines() if line.strip().startswith("taskgate")
    ]
    assert len(lines) == 3
    for line in lines:
        parses(shlex.split(line.split(" > ")[0])[1:])
    for name, service in OWN.items():
        if name.startswith("worker"):
            parses(["worker", *service["command"]])


@pytest.mark.parametrize("size", SIZES)
def test_ports_are_those_at_which_something_listens(size: str) -> None:
    listens = {
        "postgres": {5432},
        "redis": {6379},
        "neo4j": {7687},
        "temporal": {7233},
        "temporal-ui": {8080},
        "gateway": {Settings().http_port, Settings().grpc_port},
        "proxy": {int(SERVICES["proxy"]["environment"][name][2:]) for name in proxy_variables() if name[:5] == "PROXY"},
        "prometheus": {9090},
        "grafana": {3000},
        "jaeger": {16686},
    }
    for name, service in of_size(size).items():
        for port in service.get("ports", []):
            assert int(port.rsplit(":", 1)[1]) in listens[name]


def proxy_variables() -> set[str]:
    return set(re.findall(r'"\$\{(\w+)\}"', (DOCKER / "haproxy.cfg").read_text()))


def test_the_proxy_has_the_address_of_every_server() -> None:
    given = SERVICES["proxy"]["environment"]
    assert given.keys() == proxy_variables()
    ports = {"GATEWAY": {str(Settings().http_port), str(Settings().grpc_port)}, "TEMPORAL": {"7233"}}
    for name, address in given.items():
        if not name.startswith("PROXY"):
            host, port = address.split(":")
            assert host in of_size("full")
            assert port in ports[name.split("_")[0]]


def test_prometheus_scrapes_every_gateway_and_node() -> None:
    config = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    full = of_size("full")
    assert jobs == {
        "taskgate": [f"{name}:{Settings().http_port}" for name in full if name.startswith("gateway")],
        "temporal": [f"{name}:9090" for name in full if re.fullmatch(r"temporal-\d", name)],
    }
    reference = yaml.safe_load((CHECKOUT / "deploy" / "observability" / "prometheus.yml").read_text())
    assert set(jobs) == {job["job_name"] for job in reference["scrape_configs"]}
    assert config["rule_files"] == reference["rule_files"]


def test_stopping_has_longer_than_leaving_and_draining(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker kills after 10 s where nothing is said."""
    for name, service in OWN.items():
        if not name.startswith(("gateway", "worker")):
            continue
        with monkeypatch.context() as patched:
            for key, value in service["environment"].items():
                patched.setenv(key, plain(value))
            settings = Settings()
        gateway = settings.leave_seconds + settings.drain_seconds
        needed = settings.worker_drain_seconds if name.startswith("worker") else gateway
        assert int(service.get("stop_grace_period", "10s").removesuffix("s")) > needed, name


def test_spans_go_to_the_collector_and_on_to_jaeger() -> None:
    config = yaml.safe_load((DOCKER / "otel-collector.yaml").read_text())
    port = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rsplit(":", 1)[1]
    senders = [one for name, one in of_size("full").items() if name in OWN and name != "setup"]
    assert {one["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] for one in senders} == {f"http://otel-collector:{port}"}
    assert config["exporters"]["otlp"]["endpoint"] == "jaeger:4317"
    (pipeline,) = config["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) <= config[kind].keys()


def test_grafana_shows_the_dashboards_from_where_they_are_mounted() -> None:
    (provider,) = yaml.safe_load((DOCKER / "grafana" / "dashboards.yaml").read_text())["providers"]
    assert f"./deploy/observability/dashboards:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
    sources = yaml.safe_load((DOCKER / "grafana" / "datasources.yaml").read_text())["datasources"]
    assert {one["type"] for one in sources} == {"prometheus", "jaeger"}
    assert all(one["url"].split("/")[2].split(":")[0] in of_size("full") for one in sources)
    for file in (CHECKOUT / "deploy" / "observability" / "dashboards").glob("*.json"):
        assert json.loads(file.read_text())["templating"]["list"][0]["query"] == "prometheus"
