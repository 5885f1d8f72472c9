"""`RuleExtractor`: stands where graphiti calls a language model, and answers from rules."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Callable
from typing import Any

from graphiti_core.llm_client import LLMClient, LLMConfig
from graphiti_core.llm_client.config import ModelSize
from graphiti_core.prompts.models import Message
from pydantic import BaseModel

from deploy.demo.text import read

log = logging.getLogger(__name__)

#: graphiti's own limit of a summary.
SUMMARY_CHARS = 1000

Answer = dict[str, Any]


class NoRule(Exception):
    """The demo's extractor has no rule for what was asked; set TASKGATE_LLM_URL."""


class RuleExtractor(LLMClient):
    """The same text always gives the same answer. It understands nothing beyond `deploy.demo.text`."""

    def __init__(self) -> None:
        super().__init__(LLMConfig(model="rules", small_model="rules"), cache=False)
        log.info("names and relations come from rules for simple English; set TASKGATE_LLM_URL for a language model")

    async def generate_response(
        self,
        messages: list[Message],
        response_model: type[BaseModel] | None = None,
        max_tokens: int | None = None,
        model_size: ModelSize = ModelSize.medium,
        group_id: str | None = None,
        prompt_name: str | None = None,
        *,
        attribute_extraction: bool = False,
        model: str | None = None,
    ) -> Answer:
        """Answer one of graphiti's prompts. Raises `NoRule` for one that no rule answers."""
        if response_model is None:
            raise NoRule(f"no rule for {prompt_name or 'free text'}; set TASKGATE_LLM_URL")
        if attribute_extraction:
            return {name: None for name, asked in response_model.model_fields.items() if not asked.is_required()}
        rule = _RULES.get(response_model.__name__)
        if rule is None:
            raise NoRule(f"no rule for {response_model.__name__}; set TASKGATE_LLM_URL")
        return rule(messages[-1].content)

    async def _generate_response(
        self,
        messages: list[Message],
        response_model: type[BaseModel] | None = None,
        max_tokens: int = 0,
        model_size: ModelSize = ModelSize.medium,
        *,
        model: str | None = None,
    ) -> Answer:
        return await self.generate_response(messages, response_model, max_tokens, model_size)


# Answers, one function per kind -----------------------------------------------------------------------------------


def _entities(prompt: str) -> Answer:
    listed = _data(prompt, "ENTITY TYPES", last=False) or []
    types = {str(entry["entity_type_name"]).lower(): int(entry["entity_type_id"]) for entry in listed}
    kinds = read(_section(prompt, "CURRENT MESSAGE", "TEXT", "JSON")).kinds
    return {
        "extracted_entities": [
            {"name": name, "entity_type_id": next((types[kind] for kind in told if kind in types), 0)}
            for name, told in kinds.items()
        ]
    }


def _edges(prompt: str) -> Answer:
    known = {str(node["name"]) for node in _data(prompt, "ENTITIES") or []}
    return {
        "edges": [
            {
                "source_entity_name": relation.source,
                "target_entity_name": relation.target,
                "relation_type": relation.name,
                "fact": relation.fact,
            }
            for relation in read(_section(prompt, "CURRENT_MESSAGE")).relations
            if {relation.source, relation.target} <= known
        ]
    }


def _same_nodes(prompt: str) -> Answer:
    candidates = _data(prompt, "EXISTING ENTITIES") or []
    known = {str(node["name"]).lower(): int(node["candidate_id"]) for node in reversed(candidates)}
    return {
        "entity_resolutions": [
            {**node, "duplicate_candidate_id": known.get(str(node["name"]).lower(), -1)}
            for node in _data(prompt, "ENTITIES") or []
        ]
    }


def _same_facts(prompt: str) -> Answer:
    """Facts in the same words; one never contradicts another."""
    new = _words(_section(prompt, "NEW FACT"))
    facts = _data(prompt, "EXISTING FACTS", last=False) or []
    same = [int(fact["idx"]) for fact in facts if _words(str(fact["fact"])) == new]
    return {"duplicate_facts": same, "contradicted_facts": []}


def _no_times(_: str) -> Answer:
    return {"valid_at": None, "invalid_at": None}


def _summaries(prompt: str) -> Answer:
    """For each entity what was known of it, and the sentences of the episode that name it."""
    messages = [_literal(line) for line in _section(prompt, "MESSAGES").splitlines() if line.strip()]
    sentences = read(str(messages[-1])).sentences if messages else {}
    summed = []
    for entity in _data(prompt, "ENTITIES") or []:
        name, known = str(entity["name"]), str(entity.get("summary") or "")
        text = _joined([*known.splitlines(), *sentences.get(name, [])])
        if text:
            summed.append({"name": name, "summary": text})
    return {"summaries": summed}


def _summary(prompt: str) -> Answer:
    """Two summaries as one: their lines, each once."""
    parts = _after(prompt, "Summaries:") or []
    return {"summary": _joined([line for part in parts for line in str(part.get("summary") or "").splitlines()])}


def _description(prompt: str) -> Answer:
    """What a summary is about: the names that it names most."""
    text = str(_after(prompt, "Summary:") or "")
    kinds = read(text).kinds
    names = sorted(kinds, key=lambda name: -len(kinds[name]))[:4]
    return {"description": ", ".join(names) or text[:80] or "Unnamed community"}


#: By the name of the model that the answer is validated with.
_RULES: dict[str, Callable[[str], Answer]] = {
    "ExtractedEntities": _entities,
    "ExtractedEdges": _edges,
    "NodeResolutions": _same_nodes,
    "EdgeDuplicate": _same_facts,
    "EdgeTimestamps": _no_times,
    "SummarizedEntities": _summaries,
    "Summary": _summary,
    "SummaryDescription": _description,
}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _joined(lines: list[str]) -> str:
    kept = ""
    for line in dict.fromkeys(line.strip() for line in lines if line.strip()):
        if len(kept) + len(line) < SUMMARY_CHARS:
            kept += ("\n" if kept else "") + line
    return kept


# Prompts read back ------------------------------------------------------------------------------------------------
# Tags stand on lines of their own. What an episode says cannot forge them: the first opening and the last closing tag
# count, and everything else from outside is JSON or a Python literal, in which a line break is escaped.


def _section(prompt: str, *tags: str) -> str:
    """The text of the first of these tags that the prompt has; empty without one."""
    for tag in tags:
        found = re.search(rf"^[ \t]*<{tag}>[ \t]*\n(.*)^[ \t]*</{tag}>", prompt, re.MULTILINE | re.DOTALL)
        if found is not None:
            return found.group(1).removesuffix("\n")
    return ""


def _data(prompt: str, tag: str, *, last: bool = True) -> Any:
    """The value of a section. `last`: it stands after the episode's text, and so is looked for from the end."""
    opening = f"<{tag}>\n"
    start = prompt.rfind(opening) if last else prompt.find(opening)
    return _literal(prompt[start + len(opening) : prompt.find(f"\n</{tag}>", start)]) if start >= 0 else None


def _after(prompt: str, heading: str) -> Any:
    """The JSON value that follows the last line that says `heading`."""
    return json.JSONDecoder().raw_decode(prompt.rpartition(f"{heading}\n")[2].strip())[0]


def _literal(text: str) -> Any:
    """A value written as JSON or as a Python literal; None when it is neither."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None
