"""The OpenAPI document is complete: whoever makes a client of it finds every name, type and example in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from gateway.app import create_app
from gateway.bootstrap import build_gateway
from gateway.dags.document import parse
from gateway.dags.limits import Limits
from gateway.dags.validation import Validator, read_definition
from gateway.settings import Settings

FORMATS = FormatChecker([])
FORMATS.checks("date-time", ValueError)(lambda value: not isinstance(value, str) or bool(datetime.fromisoformat(value)))
PROBLEM = {"$ref": "#/components/schemas/Problem"}

#: Answers of /gateway/v1 with an error that are no problem details.
NO_PROBLEM = {
    (f"/gateway/v1/{probe}", "503"): "a probe reads the same document whatever the status is"
    for probe in ("started", "ready")
}

#: Bodies and answers whose schema is any object, or anything, and why.
FREE = {
    "get_dag_schema": "a JSON Schema",
    "patch_schedule": "a merge patch: any part of a ScheduleDefinition, null where a field is to be unset",
    "send_run_signal": "what a signal carries is between its sender and the DAG",
    "validate_dag": "a definition is described by GET /gateway/v1/dags/schema",
    "apply_dag": "a definition is described by GET /gateway/v1/dags/schema",
    "get_plan_schema": "a JSON Schema",
    "validate_plan": "a plan is described by GET /gateway/v1/migration/plans/schema",
    "dry_run_plan": "a plan is described by GET /gateway/v1/migration/plans/schema",
    "put_plan": "a plan is described by GET /gateway/v1/migration/plans/schema",
}

#: Properties of the same kind.
FREE_PROPERTIES = {
    "what a task, a run, a node or an approval was given or has answered": {
        "TaskSubmission.payload", "TaskLogResponse.result", "TaskListItem.result", "TaskProgress.result",
        "RunRequest.params", "RunDocument.params", "RunPreview.params", "RunDocument.result", "NodeState.answer",
        "NodeResult.result",
        "CallbackDetail.body", "DeadLetterDetail.payload", "TaskPayload.payload", "PayloadEdit.payload",
        "Edit.payload", "Edit.patch",
    },
    "of MemStack, which the gateway only keeps": {
        "EpisodeCreate.metadata", "MemoryCreate.metadata", "MemoryCreate.entities", "MemoryCreate.relationships",
        "Memory.metadata", "Memory.entities", "Memory.relationships", "OperationRun.result",
    },
    "a definition is described by GET /gateway/v1/dags/schema": {
        "DagDocument.definition", "DagChange.before", "DagChange.after",
    },
    "what made a guardrail act, by kind of event": {"GuardrailEvent.evidence"},
    "a flag in the form of LaunchDarkly": {"FlagDocument.document", "ImportFlags.document"},
    "what a flip was decided by, as its source names it": {"Flip.evidence", "LedgerEntry.evidence"},
    "what was changed, by kind of action": {"AuditEntry.before", "AuditEntry.after", "AuditEntry.detail"},
    "OCSF's API Activity": {"CloudEvent.data"},
    "what belongs to a step of a plan": {"PlanStep.evidence"},
    "what was sent, whatever it was": {"InvalidField.input", "InvalidField.ctx"},
}  # fmt: skip


@pytest.fixture(scope="module")
def document(openapi_document: dict[str, Any]) -> dict[str, Any]:
    return openapi_document


@pytest.fixture(scope="module")
def registry(document: dict[str, Any]) -> Registry[Any]:
    return Registry().with_resource("urn:api", Resource(contents=document, specification=DRAFT202012))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every body and main answer that is no stream: operation id, what it is, its media type object."""
    for _, _, operation in operations(document):
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            yield operation["operationId"], media, content
        for status, answer in operation["responses"].items():
            for media, content in answer.get("content", {}).items():
                if status < "300" and media != "text/event-stream":
                    yield operation["operationId"], f"{status} {media}", content


def is_free(schema: dict[str, Any]) -> bool:
    """Whether it says nothing of what stands in it."""
    choices = [choice for choice in schema.get("anyOf", [schema]) if choice.get("type") != "null"]
    for choice in choices:
        if "$ref" in choice or "properties" in choice or "const" in choice or "enum" in choice:
            continue
        if choice.get("type") == "array" and is_free(choice.get("items", {})):
            return True
        if choice.get("type") == "object" and choice.get("additionalProperties", True) in (True, {}):
            return True
        if "type" not in choice and "anyOf" not in choice and "oneOf" not in choice:
            return True
    return False


def test_every_operation_has_a_tag_a_summary_and_a_clean_name_of_its_own(document: dict[str, Any]) -> None:
    found = list(operations(document))
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    for method, path, operation in found:
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        (tag,) = operation["tags"]
        assert tag in tags, (method, path)
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation["operationId"]), operation["operationId"]
        assert not operation["operationId"].endswith(f"_{method}"), operation["operationId"]
        assert not re.search(r"_v\d|_api_", operation["operationId"]), operation["operationId"]
    names = [operation["operationId"] for _, _, operation in found]
    assert sorted(set(names)) == sorted(names)
    assert tags == {tag for _, _, operation in found for tag in operation["tags"]}


def test_every_parameter_is_described(document: dict[str, Any]) -> None:
    silent = [
        (operation["operationId"], parameter["name"])
        for _, _, operation in operations(document)
        for parameter in operation.get("parameters", [])
        if not parameter.get("description")
    ]
    assert silent == []


def test_an_empty_tenant_project_or_group_is_refused(document: dict[str, Any]) -> None:
    """It would be taken for none, and reach further than was meant: a whole tenant for one project."""
    names = {"tenant_id", "project_id", "group_id"}
    asked: list[tuple[str, str, Any]] = []
    for _, path, operation in operations(document):
        if not path.startswith("/gateway/v1/"):
            continue
        asked += [
            (operation["operationId"], parameter["name"], parameter["schema"])
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "query"
        ]
        left, seen = [operation.get("requestBody", {})], set()
        while left:
            part = left.pop()
            if isinstance(part, list):
                left += part
            elif isinstance(part, dict):
                asked += [(operation["operationId"], name, one) for name, one in part.get("properties", {}).items()]
                left += [value for name, value in part.items() if name not in ("example", "examples")]
                if (named := str(part.get("$ref", "")).rpartition("/")[2]) and named not in seen:
                    seen.add(named)
                    left.append(document["components"]["schemas"][named])
    open_ones = [
        (operation, name)
        for operation, name, schema in asked
        if name in names and not any(choice.get("minLength") for choice in schema.get("anyOf", [schema]))
    ]
    assert open_ones == []


def test_every_body_and_main_answer_has_an_example_of_its_schema(
    document: dict[str, Any], registry: Registry[Any]
) -> None:
    wrong = []
    for name, what, content in bodies(document):
        if "example" not in content:
            wrong.append((name, what, "no example"))
            continue
        schema = _absolute(content["schema"])
        validator = Draft202012Validator(schema, registry=registry, format_checker=FORMATS)
        wrong += [
            (name, what, f"{error.json_path}: {error.message}") for error in validator.iter_errors(content["example"])
        ]
    assert wrong == []


def test_examples_of_submissions_and_filters_are_taken_by_the_gateway(document: dict[str, Any]) -> None:
    """What the models check beyond their schemas."""
    app = create_app(build_gateway(Settings(), engines={}))
    checked = 0
    for route in app.routes:
        field = getattr(route, "body_field", None)
        if field is None or not route.include_in_schema:  # type: ignore[attr-defined]
            continue
        (method,) = route.methods  # type: ignore[attr-defined]
        body = document["paths"][route.path][method.lower()]["requestBody"]  # type: ignore[attr-defined]
        _, errors = field.validate(body["content"]["application/json"]["example"], {}, loc=("body",))
        assert not errors, (method, route.path, errors)  # type: ignore[attr-defined]
        checked += 1
    assert checked > 20


def test_the_example_of_a_definition_is_a_valid_dag(document: dict[str, Any]) -> None:
    content = document["paths"]["/gateway/v1/dags/{name}"]["put"]["requestBody"]["content"]
    assert yaml.safe_load(content["application/yaml"]["example"]) == content["application/json"]["example"]
    document_of_dag = parse(content["application/yaml"]["example"], limit=10_000)
    checked = Validator(document_of_dag, read_definition(document_of_dag), {}, None, Limits()).check()
    assert checked.nodes > 1


def test_every_error_of_the_new_api_is_the_one_problem(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        if not path.startswith("/gateway/v1/"):
            continue
        for status, answer in operation["responses"].items():
            if status < "400" or (path, status) in NO_PROBLEM:
                continue
            assert answer["content"] == {"application/problem+json": {"schema": PROBLEM}}, (method, path, status)
    assert set(document["components"]["schemas"]["Problem"]["properties"]) >= {"type", "title", "status", "detail"}


def test_answers_have_schemas(document: dict[str, Any]) -> None:
    free = {name for name, _, content in bodies(document) if is_free(content["schema"])}
    assert free == set(FREE)
    properties = {
        f"{name}.{property}"
        for name, schema in document["components"]["schemas"].items()
        for property, inner in schema.get("properties", {}).items()
        if is_free(inner)
    }
    assert properties == set().union(*FREE_PROPERTIES.values())


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    refs = set(re.findall(r"'\$ref': '([^']+)'", str(document)))
    assert refs
    assert refs <= {f"#/components/schemas/{name}" for name in schemas}
    assert "$defs" not in str(document)


def test_it_names_its_server(document: dict[str, Any]) -> None:
    assert [server["url"] for server in document["servers"]] == ["/"]


def _absolute(schema: Any) -> Any:
    """The schema with references into the document."""
    if isinstance(schema, dict):
        return {key: f"urn:api{value}" if key == "$ref" else _absolute(value) for key, value in schema.items()}
    return [_absolute(each) for each in schema] if isinstance(schema, list) else schema
