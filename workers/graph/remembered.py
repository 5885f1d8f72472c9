"""Answers of a language model, kept from one step of an episode for the next.

The steps of the episode DAG ask what graphiti itself would ask, ahead of it; graphiti then runs unchanged, and what was
asked already is answered from memory. A question that differs (the graph changed meanwhile) is simply asked.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class Answers:
    """Question digests and their answers. `keeps`: new answers are added."""

    def __init__(self, known: Mapping[str, Any] | None = None, *, keeps: bool = False) -> None:
        self.known: dict[str, Any] = dict(known or {})
        self.keeps = keeps
        self.used = 0
        """How many questions were answered from memory."""


_active: ContextVar[Answers | None] = ContextVar("answers of a language model", default=None)


@contextmanager
def remembering(answers: Answers) -> Iterator[Answers]:
    """Within the block, questions of this task go to `answers` first."""
    token = _active.set(answers)
    try:
        yield answers
    finally:
        _active.reset(token)


def give_memory(client: Any) -> Any:
    """Let a graphiti `LLMClient` use the memory that is active when it is asked; returns the client."""
    ask = client.generate_response

    async def generate_response(messages: Any, response_model: Any = None, *args: Any, **kwargs: Any) -> dict[str, Any]:
        answers = _active.get()
        if answers is None:
            return dict(await ask(messages, response_model, *args, **kwargs))
        key = _digest(messages, response_model)
        if key in answers.known:
            answers.used += 1
            return dict(copy.deepcopy(answers.known[key]))
        answer = dict(await ask(messages, response_model, *args, **kwargs))
        if answers.keeps:
            answers.known[key] = copy.deepcopy(answer)
        return answer

    client.generate_response = generate_response
    return client


def _digest(messages: Any, response_model: Any) -> str:
    said = [[message.role, message.content] for message in messages]
    return hashlib.sha256(json.dumps([said, getattr(response_model, "__name__", None)]).encode()).hexdigest()
