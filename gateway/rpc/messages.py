"""Converts between messages and the plain values of the service layer by the names of their fields.

A `Duration` named `delay` is the number `delay_seconds`, the enum value `LETTER_STATE_OPEN` of a `LetterState` is the
word `open`, a `Struct` is a JSON object.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from pydantic import BaseModel, ValidationError

from gateway.rpc.failures import InvalidFields, Violation, invalid
from gateway.rpc.requests import seconds_of, storable, time_of
from gateway.rpc.values import plain_of, put_plain, sound, to_json

_M = TypeVar("_M", bound=Message)
_Model = TypeVar("_Model", bound=BaseModel)
_TIMESTAMP, _DURATION = "google.protobuf.Timestamp", "google.protobuf.Duration"
_STRUCT, _VALUE = "google.protobuf.Struct", "google.protobuf.Value"

#: Ids that narrow a request: an empty one would be taken for none, and reach further than was meant.
_PLACES = frozenset(("tenant_id", "project_id", "group_id"))

#: JSON in these requests nests no deeper than that.
DEEPEST = 32


def fill(message: _M, facts: Mapping[str, Any]) -> _M:
    """The message, with the fields that have a value; `None` leaves a field out."""
    field: Any
    for field in message.DESCRIPTOR.fields:
        value = facts.get(field.name)
        if value is None and _type_of(field) == _DURATION:
            value = facts.get(f"{field.name}_seconds")
        if value is not None:
            _put(message, field, value)
    return message


def _put(message: Message, field: FieldDescriptor, value: Any) -> None:
    name, kind = field.name, _type_of(field)
    target = getattr(message, name)
    if field.message_type is not None and _is_map(field):
        values = field.message_type.fields_by_name["value"]
        for key, item in value.items():
            if values.message_type is not None:
                fill(target[sound(str(key))], item)
            else:
                target[sound(str(key))] = _scalar(values, item)
    elif field.is_repeated:
        for item in value:
            if field.message_type is not None:
                _put_message(target.add(), kind, item)
            else:
                target.append(_scalar(field, item))
    elif field.message_type is not None:
        target.SetInParent()
        _put_message(target, kind, value)
    else:
        setattr(message, name, _scalar(field, value))


def _put_message(target: Any, kind: str | None, value: Any) -> None:
    if kind == _TIMESTAMP:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        target.FromDatetime(moment.astimezone(UTC))
    elif kind == _DURATION:
        target.FromNanoseconds(round(value * 1e9))
    elif kind in (_STRUCT, _VALUE):
        put_plain(value, target)
    else:
        fill(target, value)


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        number = field.enum_type.values_by_name.get(prefix_of(field.enum_type) + str(value).upper())
        return 0 if number is None else number.number
    return sound(str(value)) if field.type == FieldDescriptor.TYPE_STRING else value


def facts_of(message: Message, at: str = "", *, skip: Collection[str] = ()) -> dict[str, Any]:
    """What a client has set, but for the fields of `skip`, by the names of the service layer.

    Raises `InvalidFields`, naming the field.
    """
    facts: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name in skip:
            continue
        place = f"{at}.{field.name}" if at else field.name
        if value == "" and field.name in _PLACES:
            raise invalid(place, "it is empty; leave the field out, or name one")
        kind = _type_of(field)
        name = f"{field.name}_seconds" if kind == _DURATION else field.name
        if _is_map(field):
            facts[name] = {storable(str(key), place): _plain(field, None, item, place) for key, item in value.items()}
        elif field.is_repeated:
            facts[name] = [_plain(field, kind, item, f"{place}[{n}]") for n, item in enumerate(value)]
        else:
            facts[name] = _plain(field, kind, value, place)
    return facts


def _plain(field: FieldDescriptor, kind: str | None, value: Any, at: str) -> Any:
    if isinstance(value, str):
        return storable(value, at)
    if kind == _TIMESTAMP:
        return time_of(value, at)
    if kind == _DURATION:
        return seconds_of(value, at)
    if isinstance(value, Struct):
        return to_json(value, max_depth=DEEPEST, at=at)
    if isinstance(value, Value):
        return plain_of(value, max_depth=DEEPEST, at=at)
    if isinstance(value, Message):
        return facts_of(value, at)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        if known is None or known.number == 0:
            raise invalid(at, "not a value of this field")
        return known.name.removeprefix(prefix_of(field.enum_type)).lower()
    return value


def checked(model: type[_Model], facts: Mapping[str, Any], at: str = "") -> _Model:
    """What the service layer makes of it. Raises `InvalidFields` in the words of the proto."""
    try:
        return model.model_validate(facts)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise InvalidFields([Violation(_path(at, each["loc"]), each["msg"]) for each in found]) from None


def prefix_of(enum: EnumDescriptor) -> str:
    """What the names of its values begin with."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"


def _path(at: str, location: tuple[int | str, ...]) -> str:
    path = at
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part.removesuffix('_seconds')}" if path else part.removesuffix("_seconds")
    return path or "request"


def _type_of(field: FieldDescriptor) -> str | None:
    return None if field.message_type is None else field.message_type.full_name


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
