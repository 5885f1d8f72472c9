"""The models of a DAG definition, from which the JSON Schema is published.

They check the form of a document; `gateway.dags.validation` checks its meaning.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Names of DAGs; names of nodes and parameters are identifiers of the expression language.
DAG_NAME = r"^[a-z][a-z0-9]*([-_.][a-z0-9]+)*$"
IDENTIFIER = r"^[A-Za-z][A-Za-z0-9_]{0,62}$"

Name = Annotated[str, Field(pattern=IDENTIFIER)]


class ParameterType(StrEnum):
    """The type of a parameter's value."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    OBJECT = "object"
    ANY = "any"


class OnFailure(StrEnum):
    """What a node's failure means for the run."""

    FAIL = "fail"
    CONTINUE = "continue"
    COMPENSATE = "compensate"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameter(_Part):
    """A parameter of a run. Without `default` it must be given if `required`, else it is null."""

    type: ParameterType = ParameterType.ANY
    default: Any = None
    required: bool = True
    description: str | None = Field(None, max_length=1000)


class Retry(_Part):
    """How often, and after what pauses, a failed task is repeated."""

    attempts: int = Field(3, ge=1, le=100)
    initial_seconds: float = Field(1.0, gt=0, le=86_400, allow_inf_nan=False)
    coefficient: float = Field(2.0, ge=1, le=100, allow_inf_nan=False)
    maximum_seconds: float = Field(600.0, gt=0, le=86_400, allow_inf_nan=False)


class Compensation(_Part):
    """A task that undoes a completed node when the run is compensated."""

    type: str = Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.:-]+$")
    input: dict[str, Any] = Field(default_factory=dict)


class Approval(_Part):
    """A node that waits until a person approves or rejects."""

    message: str = Field("", max_length=4000)
    timeout_seconds: float | None = Field(None, gt=0, le=366 * 86_400, allow_inf_nan=False)


class AwaitedSignal(_Part):
    """A node that waits for a signal of this name. The payload of the signal is the result of the node."""

    name: Name
    timeout_seconds: float | None = Field(None, gt=0, le=366 * 86_400, allow_inf_nan=False)


class Node(_Part):
    """One step: a task (`type`), another DAG (`dag`), an approval or an awaited signal; exactly one of these.

    In `input`, a text that is one `${ expression }` becomes the expression's value; other texts may contain expressions
    among other words. Expressions may use `params.<name>`, `nodes.<name>.result`, `.results` (of a fan-out: a list in
    the order of its items), `.status`, `.error`, `.ref`, and in a fan-out `item` and `index`.
    """

    type: str | None = Field(None, min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.:-]+$")
    dag: str | None = Field(None, max_length=200, description="Name of a DAG, or `name@version`.")
    approval: Approval | None = None
    signal: AwaitedSignal | None = None
    description: str | None = Field(None, max_length=1000)
    needs: list[Name] = Field(default_factory=list, description="Nodes that must have ended before this one starts.")
    input: dict[str, Any] = Field(default_factory=dict)
    when: str | None = Field(None, description="Condition. If it is false, the node is skipped.")
    if_skipped: Literal["auto", "run", "skip"] = Field(
        "auto",
        description="What to do if needed nodes were skipped. `auto`: skip this node if all of them were "
        "skipped. `skip`: skip it if any was. `run`: run it.",
    )
    for_each: str | None = Field(None, description="Expression that gives a list. The node runs once for each item.")
    max_parallel: int | None = Field(
        None, ge=1, description="Maximum number of items of `for_each` that run at the same time."
    )
    retry: Retry | None = None
    timeout_seconds: float | None = Field(
        None,
        gt=0,
        le=86_400,
        allow_inf_nan=False,
        description="Longest time of one attempt, in seconds. The handler's own limit applies, too.",
    )
    priority: int | None = Field(
        None, ge=1, le=5, description="Priority from 1 (first) to 5 (last). Default: the priority of the run."
    )
    on_failure: OnFailure = OnFailure.FAIL
    compensate: Compensation | None = None


class DagDefinition(_Part):
    """A DAG: its parameters, its nodes, and its result."""

    name: str | None = Field(None, pattern=DAG_NAME, max_length=100)
    description: str | None = Field(None, max_length=4000)
    params: dict[Name, Parameter] = Field(default_factory=dict)
    nodes: dict[Name, Node] = Field(min_length=1)
    outputs: dict[Name, Any] = Field(
        default_factory=dict, description="The result of the run: a name and an expression for each part."
    )
    deadline_seconds: float | None = Field(
        None,
        gt=0,
        le=366 * 86_400,
        allow_inf_nan=False,
        description="If the run is not over after this many seconds, it fails.",
    )
    compensation_seconds: float | None = Field(
        None,
        gt=0,
        le=366 * 86_400,
        allow_inf_nan=False,
        description="Compensation ends after this many seconds. Default: at the deadline of the run.",
    )
    max_parallel: int | None = Field(
        None, ge=1, description="Maximum number of tasks of one run that are open at the same time."
    )


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of a definition."""
    schema = DagDefinition.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:taskgate:schema:dag:1",
        **schema,
        "title": "taskgate DAG",
    }
