"""The fallback workflow: deterministic, and able to go on with what older releases began."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import _Definition

from backends.temporal import messages, names
from workers.temporal import workflows
from workers.temporal.workflows import RunTaskWorkflow

HISTORIES = {
    path.stem: path.read_text(encoding="utf-8") for path in (Path(__file__).parent / "histories").glob("*.json")
}

#: What a workflow module, and whatever it imports of ours, may import.
HARMLESS = {
    "__future__",
    "collections.abc",
    "dataclasses",
    "datetime",
    "typing",
    "temporalio",
    "temporalio.common",
    "temporalio.exceptions",
    "backends.temporal",
    "backends.temporal.messages",
}


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("module", [workflows, names, messages], ids=lambda module: str(module.__name__))
def test_workflow_modules_import_only_what_does_nothing(module: object) -> None:
    assert imported(Path(str(module.__file__))) <= HARMLESS  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", [workflows, names, messages], ids=lambda module: str(module.__name__))
def test_packages_around_workflow_modules_do_nothing(module: object) -> None:
    """A package's `__init__` runs in the sandbox too."""
    path = Path(str(module.__file__))  # type: ignore[attr-defined]
    for package in (path.parent / "__init__.py", path.parent.parent / "__init__.py"):
        assert imported(package) <= {"__future__"}


async def test_the_sandbox_accepts_it() -> None:
    runner: WorkflowRunner = SandboxedWorkflowRunner()
    runner.prepare_workflow(_Definition.must_from_class(RunTaskWorkflow))


@pytest.mark.parametrize("end", sorted(HISTORIES))
async def test_older_runs_go_on(end: str) -> None:
    """These files were written by Temporal 1.32.1 and stay as they are: they are what waits in production."""
    history = WorkflowHistory.from_json(f"task-{end}", HISTORIES[end])
    result = await Replayer(workflows=[RunTaskWorkflow]).replay_workflow(history, raise_on_replay_failure=False)
    assert result.replay_failure is None


def test_there_are_histories() -> None:
    assert HISTORIES.keys() >= {"completed", "failed", "cancelled"}
