"""Reads `versions.toml`, the only file that names a version."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Versions:
    """The pinned versions of everything that is not a Python package."""

    temporal: str
    temporal_ui: str
    toxiproxy: str
    h2spec: str
    jaeger: str
    gofakes3: str
    prometheus: str
    helm: str
    neo4j: str
    maven_dependency_plugin: str
    java_minimum: int
    images: dict[str, str]


@cache
def pinned() -> Versions:
    """The versions this checkout was tested with."""
    data = tomllib.loads(Path(__file__).with_name("versions.toml").read_text())
    return Versions(
        temporal=data["temporal"]["server"],
        temporal_ui=data["temporal_ui"]["server"],
        toxiproxy=data["toxiproxy"]["server"],
        h2spec=data["h2spec"]["program"],
        jaeger=data["jaeger"]["server"],
        gofakes3=data["gofakes3"]["program"],
        prometheus=data["prometheus"]["server"],
        helm=data["helm"]["program"],
        neo4j=data["neo4j"]["server"],
        maven_dependency_plugin=data["neo4j"]["dependency_plugin"],
        java_minimum=data["java"]["minimum"],
        images=dict(data["images"]),
    )
