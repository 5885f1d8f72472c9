"""Helm, which renders and checks the chart, for tests: from PATH, else built once by Go (minutes of processor time)."""

from __future__ import annotations

from deploy.local.go_program import GoProgram
from deploy.local.versions import pinned

PROGRAM = GoProgram(
    "helm",
    "helm",
    "helm.sh/helm/v3",
    lambda: pinned().helm,
    "install Go to build it, or put helm on PATH",
    package="cmd/helm",
)
