"""Parses the text of a definition, with the position of every part.

YAML is restricted: no tags that create objects, no repeated keys, and aliases only up to a limit of the expanded
document.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce
from typing import Any

import orjson
import yaml
from pydantic import ValidationError

from gateway.dags.errors import MOST_FAULTS, DagInvalid, Fault, Faults
from gateway.tasks.json_text import Refused, TooDeep, decode_json, repeated_fields

#: Parts of a document when all aliases are written out; and how deep they are nested.
MOST_PARTS = 200_000
DEEPEST = 64

_NUL = "NUL characters cannot be stored"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KNOWN_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "timestamp", "map", "seq")
}


class Document:
    """Data, and where in the text each part stands (empty for what came as JSON)."""

    def __init__(self, data: Any, marks: dict[str, tuple[int, int]] | None = None) -> None:
        self.data = data
        self._marks = marks or {}

    def fault(self, code: str, place: str, message: str) -> Fault:
        """A fault with its position; for a missing part, the position where it should be."""
        at = place
        while at and at not in self._marks:
            at = at.rpartition("/")[0]
        line, column = self._marks.get(at, (None, None))
        return Fault(code, place, message, line, column)


def pointer(parent: str, key: object) -> str:
    """The JSON pointer of a member."""
    return f"{parent}/{str(key).replace('~', '~0').replace('/', '~1')}"


def misfits(document: Document, error: ValidationError) -> list[Fault]:
    """What does not fit the models, each with its place."""
    faults = []
    for one in error.errors(include_url=False, include_input=False)[:MOST_FAULTS]:
        place = ""
        for part in one["loc"]:
            if part != "[key]":
                place = pointer(place, part)
        code = {"extra_forbidden": "unknown_field", "missing": "missing_field"}.get(one["type"], "schema")
        message = "there is no such field here" if code == "unknown_field" else one["msg"]
        faults.append(document.fault(code, place, message))
    return faults


def parse(text: str | bytes, *, limit: int) -> Document:
    """Read YAML or JSON. Raises `DagInvalid` for what is neither, for repeated keys, and for documents that explode."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > limit:
        raise DagInvalid([Fault("too_large", "", f"the document has {len(raw)} bytes, more than {limit}")])
    try:
        decoded = raw.decode("utf-8")
        _check_size(decoded)
        node = yaml.compose(decoded, Loader=_LOADER)
    except UnicodeDecodeError as error:
        raise DagInvalid([Fault("syntax", "", f"the document is not UTF-8: {error.reason}")]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise DagInvalid([Fault("syntax", "", f"this is not YAML: {problem}", line, column)]) from None
    if node is None:
        raise DagInvalid([Fault("empty", "", "the document is empty")])
    reader = _Reader()
    data = reader.read(node, "", 0)
    reader.faults.finish()
    return Document(data, reader.marks)


def _check_size(text: str) -> None:
    """Checks the stream of events: composing a document recurses for each level, and takes long for many parts."""
    depth = parts = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.NodeEvent):
            parts += 1
            if parts > MOST_PARTS:
                raise DagInvalid([Fault("too_large", "", f"it has over {MOST_PARTS} parts")])
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                place = (mark.line + 1, mark.column + 1) if (mark := event.start_mark) is not None else (None, None)
                raise DagInvalid([Fault("too_deep", "", f"nested deeper than {DEEPEST} levels", *place)])
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def parse_json(text: bytes, *, limit: int) -> Document:
    """Read JSON only. Raises `json.JSONDecodeError` for what is no JSON, `DagInvalid` for what YAML is refused for."""
    data = json_data(text)
    size = len(orjson.dumps(data))
    if size > limit:
        raise DagInvalid([Fault("too_large", "", f"the document has {size} bytes, more than {limit}")])
    return Document(data)


def json_data(text: bytes) -> Any:
    """The value of a document that is JSON, of any size. Raises as `parse_json`."""
    try:
        data = decode_json(text, max_depth=DEEPEST)
    except Refused as error:
        code = "too_deep" if isinstance(error, TooDeep) else "syntax"
        raise DagInvalid([Fault(code, "", error.msg)]) from None
    faults = Faults()
    for *parents, name in repeated_fields(text, data):
        place = pointer(reduce(pointer, parents, ""), name)
        faults.add(Fault("duplicate_key", place, _twice(name)))
    faults.finish()
    return data


def _twice(name: object) -> str:
    return f"{name!r} stands here twice"


class _Reader:
    def __init__(self) -> None:
        self.marks: dict[str, tuple[int, int]] = {}
        self.faults = Faults()
        self._parts = 0
        self._make = yaml.SafeLoader("")

    def read(self, node: yaml.Node, place: str, depth: int) -> Any:
        self._count(node, place)
        if depth > DEEPEST:
            raise DagInvalid([self._fault(node, "too_deep", place, f"nested deeper than {DEEPEST} levels")])
        self.marks[place] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if node.tag not in _KNOWN_TAGS:
            self.faults.add(self._fault(node, "syntax", place, f"the tag {node.tag!r} is not allowed"))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, f"{place}/{i}", depth + 1) for i, child in enumerate(node.value)]
        return self._scalar(node, place)

    def _count(self, node: yaml.Node, place: str) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise DagInvalid([self._fault(node, "too_large", place, f"written out, it has over {MOST_PARTS} parts")])

    def _mapping(self, node: yaml.MappingNode, place: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in self._pairs(node, place, 0):
            if not isinstance(key_node, yaml.ScalarNode):
                self.faults.add(self._fault(key_node, "syntax", place, "a key must be a plain text"))
                continue
            key = str(key_node.value)
            where = pointer(place, key)
            if key in found:
                self.faults.add(self._fault(key_node, "duplicate_key", where, _twice(key)))
                continue
            if "\0" in key:
                self.faults.add(self._fault(key_node, "syntax", where, _NUL))
            found[key] = self.read(value_node, where, depth + 1)
            self.marks[where] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        return found

    def _pairs(self, node: yaml.MappingNode, place: str, depth: int) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """The members; `<<: *base` brings in those of another mapping that are not given here."""
        own = {key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
        for key, value in node.value:
            self._count(key, place)
            if key.tag == "tag:yaml.org,2002:merge":
                if isinstance(value, yaml.MappingNode) and depth < DEEPEST:
                    yield from (pair for pair in self._pairs(value, place, depth + 1) if pair[0].value not in own)
                else:
                    self.faults.add(self._fault(key, "syntax", place, "`<<` takes one mapping"))
            else:
                yield key, value

    def _scalar(self, node: yaml.Node, place: str) -> Any:
        if node.tag.endswith(":timestamp"):
            return node.value
        try:
            value = self._make.construct_object(node)
            orjson.dumps(value)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError("neither infinite nor not a number")
        except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
            self.faults.add(self._fault(node, "syntax", place, f"not a value that JSON can hold: {error}"))
            return None
        if isinstance(value, str) and "\0" in value:
            self.faults.add(self._fault(node, "syntax", place, _NUL))
        return value

    def _fault(self, node: yaml.Node, code: str, place: str, message: str) -> Fault:
        return Fault(code, place, message, node.start_mark.line + 1, node.start_mark.column + 1)
