"""The container files: valid, pinned, complete, and in step with the embedded stack."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.local.stack import NEEDS
from deploy.local.temporal_config import HISTORY_SHARDS, dynamic_config
from deploy.local.temporal_setup import SEARCH_ATTRIBUTES
from deploy.local.versions import pinned

CHECKOUT = Path(__file__).parents[3]
DOCKER = CHECKOUT / "deploy" / "docker"
COMPOSE = CHECKOUT / "docker-compose.yml"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
SCRIPTS = sorted(DOCKER.glob("*.sh"))
IMAGE_LOCKS = sorted(DOCKER.glob("*.lock"))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load(COMPOSE.read_text())
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.name)
def dockerfile(request: pytest.FixtureRequest) -> DockerfileParser:
    return DockerfileParser(fileobj=io.BytesIO(request.param.read_bytes()))


def test_compose_file_is_valid_by_the_published_schema() -> None:
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(checker, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_has_every_part_of_the_embedded_stack(compose: dict[str, Any]) -> None:
    assert set(NEEDS) <= set(compose["services"])


def test_images_are_the_pinned_ones(compose: dict[str, Any]) -> None:
    pulled = {service["image"] for service in compose["services"].values() if "build" not in service}
    assert pulled <= set(pinned().images.values())
    assert pinned().images["temporal"].endswith(f":{pinned().temporal}")
    assert pinned().images["temporal-ui"].endswith(f":{pinned().temporal_ui}")
    assert pinned().images["neo4j"].endswith(f":{pinned().neo4j}")
    assert pinned().images["jaeger"].endswith(f":{pinned().jaeger}")
    # Prometheus's Go module 0.316.0 is release 3.16.0.
    assert pinned().images["prometheus"].endswith(":v" + re.sub(r"^0\.(\d)", r"\1.", pinned().prometheus))


def test_services_depend_on_services_that_can_reach_that_state(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for name, need in service.get("depends_on", {}).items():
            ours = "build" in services[name]  # those bring their health check in the image
            if need["condition"] == "service_healthy":
                assert ours or "healthcheck" in services[name]
            else:
                assert need["condition"] == "service_completed_successfully"
                assert services[name]["restart"] == "no"


def test_volumes_are_declared_and_mounted_files_exist(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (CHECKOUT / source).exists()
            else:
                assert source in compose["volumes"]


def test_ports_are_published_on_the_loopback_address_only(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:${TASKGATE_PORT_") for port in published)


def test_temporal_is_configured_as_in_the_embedded_stack(compose: dict[str, Any]) -> None:
    assert yaml.safe_load((DOCKER / "temporal-dynamic-config.yaml").read_text()) == dynamic_config()
    assert compose["services"]["temporal"]["environment"]["NUM_HISTORY_SHARDS"] == str(HISTORY_SHARDS)


def test_search_attributes_are_those_of_the_embedded_stack() -> None:
    from temporalio.api.enums.v1 import IndexedValueType

    listed = re.findall(r"^(Taskgate\w+) (\w+)$", (DOCKER / "temporal-namespace.sh").read_text(), re.MULTILINE)
    expected = {
        name: IndexedValueType.Name(kind).removeprefix("INDEXED_VALUE_TYPE_").title()
        for name, kind in SEARCH_ATTRIBUTES.items()
    }
    assert dict(listed) == expected


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_parse(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True)


def test_build_files_that_compose_names_exist(compose: dict[str, Any]) -> None:
    builds = [service["build"] for service in compose["services"].values() if "build" in service]
    assert {CHECKOUT / build["context"] / build["dockerfile"] for build in builds} == set(DOCKERFILES)


def test_base_images_are_pinned(dockerfile: DockerfileParser, request: Any) -> None:
    is_gateway = request.node.callspec.params["dockerfile"].name == "gateway.Dockerfile"
    expected = {pinned().images[name] for name in (("python", "node") if is_gateway else ("python",))}
    assert {image for image in dockerfile.parent_images if not image.startswith("build")} == expected


def test_copied_files_exist_and_pass_the_ignore_file(dockerfile: DockerfileParser, request: Any) -> None:
    ignore = Path(f"{request.node.callspec.params['dockerfile']}.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    copied = instructions(dockerfile, "COPY")
    assert copied
    for words in copied:
        if not words[0].startswith("--from"):
            for source in words[:-1]:
                assert (CHECKOUT / source).exists()
                assert let_in & {source, *map(str, Path(source).parents)}


def test_images_run_as_an_unprivileged_user(dockerfile: DockerfileParser) -> None:
    structure = [entry["instruction"] for entry in dockerfile.structure]
    assert instructions(dockerfile, "USER") == [["10001:10001"]]
    assert "RUN" not in structure[structure.index("USER") :]


def test_images_check_their_own_health(dockerfile: DockerfileParser) -> None:
    assert len(instructions(dockerfile, "HEALTHCHECK")) == 1


def test_packages_are_installed_by_hash(dockerfile: DockerfileParser) -> None:
    installs = [" ".join(words) for words in instructions(dockerfile, "RUN") if "install" in words]
    assert any(re.search(r"--require-hashes -r (gateway|worker)\.lock$", line) for line in installs)
    assert all("--require-hashes" in line or "--no-deps --no-build-isolation" in line for line in installs[:2])


@pytest.mark.parametrize("lock", IMAGE_LOCKS, ids=lambda path: path.name)
def test_the_images_locks_have_the_versions_of_the_tested_one(lock: Path) -> None:
    assert pins(lock).items() <= pins(CHECKOUT / "requirements.lock").items()
    assert "pytest" not in pins(lock)


def test_only_the_workers_image_carries_the_graph_libraries() -> None:
    gateway, worker = (set(pins(DOCKER / f"{name}.lock")) for name in ("gateway", "worker"))
    graph = {"graphiti-core", "networkx", "openai", "scikit-learn"}
    assert gateway & graph == set()
    assert worker >= graph


def test_the_gateways_image_has_what_its_settings_and_commands_may_ask_for() -> None:
    """An export to S3, and a gate of parity: without them the one ends the gateway, and the other is refused."""
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {Requirement(line).name for extra in ("archive", "parity") for line in extras[extra]}
    assert wanted == {"obstore", "scipy"}
    assert wanted <= set(pins(DOCKER / "gateway.lock"))


def test_the_workers_image_does_without_what_serves_requests() -> None:
    """`tests/system/workers/test_worker_image.py` runs a worker without it."""
    gateway, worker = (set(pins(DOCKER / f"{name}.lock")) for name in ("gateway", "worker"))
    assert gateway - worker == {*serving(), "obstore"}


@pytest.mark.parametrize("lock", IMAGE_LOCKS, ids=lambda path: path.name)
def test_an_image_has_what_its_packages_need(lock: Path) -> None:
    """pip refuses hashes that do not cover a requirement."""
    there = set(pins(lock))
    for name in there - {"setuptools"}:
        for line in requires(name) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in there, f"{name} needs {line}"


def serving() -> list[str]:
    (names,) = re.findall(r"^SERVING := ((?:.*\\\n)*.*)$", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    return names.replace("\\", " ").split()


@pytest.mark.parametrize("lock", [CHECKOUT / "requirements.lock", *IMAGE_LOCKS], ids=lambda path: path.name)
def test_locks_record_no_registry(lock: Path) -> None:
    lines = [line for line in lock.read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert not [line for line in lines if "://" in line or line.startswith("-")]


def instructions(dockerfile: DockerfileParser, name: str) -> list[list[str]]:
    return [entry["value"].split() for entry in dockerfile.structure if entry["instruction"] == name]


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE))
