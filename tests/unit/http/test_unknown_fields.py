"""Every body of /gateway/v1 refuses fields that it does not know; legacy bodies ignore them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from gateway.app import PARTS
from gateway.dags.run_request import Approve
from gateway.http.unknown_fields import models_of, with_hints
from gateway.operations.request import NewOperation
from gateway.schedules.definition import ScheduleDefinition
from gateway.submission.requests import TaskSubmission


def bodies() -> Iterator[tuple[str, type[BaseModel]]]:
    for part in PARTS:
        for route in import_module(f"gateway.http.{part}").router.routes:
            if isinstance(route, APIRoute) and route.body_field is not None:
                for model in models_of(route.body_field.field_info.annotation):
                    yield f"{sorted(route.methods)[0]} {route.path}", model


def inside(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for inner in models_of(field.annotation):
            yield from inside(inner)


@pytest.mark.parametrize(("endpoint", "model"), list(bodies()))
def test_new_endpoints_forbid_and_legacy_ones_ignore(endpoint: str, model: type[BaseModel]) -> None:
    expected = "forbid" if "/gateway/v1" in endpoint else None
    assert {each.model_config.get("extra") for each in inside(model)} == {expected}


@pytest.mark.parametrize(
    ("model", "body", "where", "meant"),
    [
        (TaskSubmission, {"type": "t", "lables": {}}, ("lables",), "labels"),
        (TaskSubmission, {"type": "t", "delay": 5}, ("delay",), "delay_seconds"),
        (TaskSubmission, {"type": "t", "unique": "u"}, ("unique",), "unique_key"),
        (TaskSubmission, {"type": "t", "retry": {"atempts": 1}}, ("retry", "atempts"), "attempts"),
        (NewOperation, {"action": "cancel", "filter": {}, "dryrun": True}, ("dryrun",), "dry_run"),
        (ScheduleDefinition, {"action": {"type": "t", "pri": 1}}, ("action", "pri"), "priority"),
        (Approve, {"approved": True, "coment": "x"}, ("coment",), "comment"),
    ],
)
def test_what_is_meant(model: type[BaseModel], body: Any, where: tuple[str, ...], meant: str) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(body)
    errors = [error for error in with_hints(model, refused.value.errors()) if error["loc"] == where]
    assert [error["msg"] for error in errors] == [f"There is no such field; perhaps `{meant}` is meant"]


def test_nothing_is_guessed_for_what_is_like_nothing() -> None:
    with pytest.raises(ValidationError) as refused:
        TaskSubmission.model_validate({"type": "t", "zzz": 1})
    assert [error["msg"] for error in with_hints(TaskSubmission, refused.value.errors())] == ["There is no such field"]


def test_an_approval_says_yes_or_no() -> None:
    with pytest.raises(ValidationError):
        Approve.model_validate({})
