"""Each list that pages takes its own page tokens and no others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from taskgate.v1 import LetterFilter, ListRequest

from gateway.rpc.generate import PROTOS
from gateway.rpc.pages import token_after
from gateway.storage.paging import Place, cursor_in
from gateway.tasks.queries.cursor import cursor_of
from gateway.tasks.queries.task_log import Position

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Row:
    """What a page token needs of one."""

    created_at = AT
    id = "x"


TOKENS = {
    "task log": token_after(Row(), ListRequest()),  # type: ignore[arg-type]
    "tasks": cursor_of(Position(AT, "x"), {}),
    **{name: Place(AT, "x").cursor_in(name) for name in ("dag runs", "dead letters", "callbacks")},
    **{name: cursor_in(name, 9) for name in ("flips", "guardrail events", "workers")},
    **{name: cursor_in(name, "x") for name in ("schedules", "tenants")},
}
LISTS = {
    "List": "task log",
    "Select": "tasks",
    "ListDagRuns": "dag runs",
    "ListDeadLetters": "dead letters",
    "DismissDeadLetters": "dead letters",
    "PurgeDeadLetters": "dead letters",
    "ListCallbacks": "callbacks",
    "ListFlips": "flips",
    "ListGuardrailEvents": "guardrail events",
    "ListWorkers": "workers",
    "ListSchedules": "schedules",
    "ListTenants": "tenants",
}


def paging() -> Iterator[MethodDescriptor]:
    """The methods that take a page token."""
    for proto in PROTOS:
        for service in import_module(f"taskgate.v1.{Path(proto).stem}_pb2").DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if "page_token" in method.input_type.fields_by_name:
                    yield method


async def test_each_list_takes_its_own_page_tokens_only(face: Any) -> None:
    methods = {method.name: method for method in paging()}
    assert set(methods) == set(LISTS)
    for name, method in methods.items():
        call = face.channel.unary_unary(f"/{method.containing_service.full_name}/{name}")
        taken = {}
        for listed, token in TOKENS.items():
            request = GetMessageClass(method.input_type)(page_token=token)
            if name.endswith("DeadLetters") and not name.startswith("List"):
                request.filter.CopyFrom(LetterFilter(type="probe"))
                request.dry_run = True
            taken[listed] = await call(request.SerializeToString(), metadata=face.root).code()
        refused = dict.fromkeys(TOKENS, grpc.StatusCode.INVALID_ARGUMENT)
        assert taken == refused | {LISTS[name]: grpc.StatusCode.OK}, name
