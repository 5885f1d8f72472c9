"""The workflow of DAGs: deterministic, and able to go on with what older releases began."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import _Definition

from workers.temporal.dag import state, step_names, workflow
from workers.temporal.dag.workflow import DagWorkflow

HISTORIES = {
    path.stem: path.read_text(encoding="utf-8") for path in (Path(__file__).parent / "histories" / "dag").glob("*.json")
}

#: What the workflow, and whatever it imports of ours, may import.
HARMLESS = {
    "__future__",
    "collections",
    "dataclasses",
    "datetime",
    "typing",
    "temporalio",
    "temporalio.common",
    "temporalio.exceptions",
    "backends.temporal",
    "backends.temporal.messages",
    "workers.temporal.dag",
    "workers.temporal.dag.state",
}


@pytest.mark.parametrize("module", [workflow, state, step_names], ids=lambda module: str(module.__name__))
def test_workflow_modules_import_only_what_does_nothing(module: object) -> None:
    nodes = list(ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))))  # type: ignore[attr-defined]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert plain | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)} <= HARMLESS


async def test_the_sandbox_accepts_it() -> None:
    runner: WorkflowRunner = SandboxedWorkflowRunner()
    runner.prepare_workflow(_Definition.must_from_class(DagWorkflow))


@pytest.mark.parametrize("name", sorted(HISTORIES))
async def test_older_runs_go_on(name: str) -> None:
    """These files were written by Temporal 1.32.1 and stay as they are: they are what waits in production."""
    history = WorkflowHistory.from_json(f"task-{name}", HISTORIES[name])
    result = await Replayer(workflows=[DagWorkflow]).replay_workflow(history, raise_on_replay_failure=False)
    assert result.replay_failure is None


def test_there_are_histories() -> None:
    assert HISTORIES.keys() >= {
        "values",
        "fan",
        "compensated",
        "deadline",
        "carried",
        "retried",
        "told",
        "items_left",
        "items_undone",
    }
