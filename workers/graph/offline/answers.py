"""The offline extractor's answers, one function per kind of answer that graphiti asks a language model for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from workers.graph.offline import prompts
from workers.graph.offline.analysis import Analysis, analyse
from workers.graph.offline.dates import find_bounds
from workers.graph.offline.text import cut_at_sentence, normalise
from workers.graph.offline.types import classify

#: graphiti's own limit of a summary.
SUMMARY_CHARS = 1000
#: Two facts of which this share of words is the same, numbers included, say the same.
SAME_FACT = 0.9

Answer = dict[str, Any]


def entities(prompt: str) -> Answer:
    analysis = analyse(prompts.section(prompt, "CURRENT MESSAGE", "TEXT", "JSON", "CURRENT MESSAGES") or "")
    return {"extracted_entities": _entities(prompt, analysis)}


def entities_and_edges(prompt: str) -> Answer:
    analysis = analyse(prompts.section(prompt, "CURRENT MESSAGES") or "")
    return {"extracted_entities": _entities(prompt, analysis), "edges": _edges(prompt, analysis, None)}


def edges(prompt: str) -> Answer:
    analysis = analyse(prompts.section(prompt, "CURRENT_MESSAGE") or "")
    reference = _moment((prompts.section(prompt, "REFERENCE_TIME") or "").split("#")[0])
    known = {str(node["name"]) for node in prompts.data(prompt, "ENTITIES") or [] if isinstance(node, dict)}
    found = [
        edge
        for edge in _edges(prompt, analysis, reference)
        if edge["source_entity_name"] in known and edge["target_entity_name"] in known
    ]
    return {"edges": found}


def _entities(prompt: str, analysis: Analysis) -> list[Answer]:
    listed = prompts.data(prompt, "ENTITY TYPES", last=False) or []
    types = {str(entry["entity_type_name"]).lower(): int(entry["entity_type_id"]) for entry in listed}
    return [
        {"name": name, "entity_type_id": classify(name, found, types), "episode_indices": [0]}
        for name, found in analysis.occurrences.items()
    ]


def _edges(prompt: str, analysis: Analysis, reference: datetime | None) -> list[Answer]:
    listed = prompts.data(prompt, "FACT_TYPES") or prompts.data(prompt, "FACT TYPES", last=False) or []
    names = {_key(str(entry["fact_type_name"])): str(entry["fact_type_name"]) for entry in listed}
    found = []
    for relation in analysis.relations:
        valid_at, invalid_at = find_bounds(relation.fact, reference)
        found.append(
            {
                "source_entity_name": relation.source,
                "target_entity_name": relation.target,
                "relation_type": names.get(_key(relation.name), relation.name),
                "fact": relation.fact,
                "valid_at": valid_at,
                "invalid_at": invalid_at,
                "episode_indices": [0],
            }
        )
    return found


def node_resolutions(prompt: str) -> Answer:
    existing = _candidates(prompt)
    resolved = []
    for node in prompts.data(prompt, "ENTITIES") or []:
        match = existing.get(normalise(str(node["name"])), -1)
        resolved.append({"id": node["id"], "name": node["name"], "duplicate_candidate_id": match})
    return {"entity_resolutions": resolved}


def node_resolution(prompt: str) -> Answer:
    node = prompts.data(prompt, "NEW ENTITY") or {}
    name = str(node.get("name", ""))
    return {"id": 0, "name": name, "duplicate_candidate_id": _candidates(prompt).get(normalise(name), -1)}


def _candidates(prompt: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for candidate in prompts.data(prompt, "EXISTING ENTITIES") or []:
        found.setdefault(normalise(str(candidate["name"])), int(candidate["candidate_id"]))
    return found


def edge_duplicate(prompt: str) -> Answer:
    """Facts that say the same; the rules never hold that one fact contradicts another."""
    new = _words(prompts.section(prompt, "NEW FACT") or "")
    duplicates = [
        int(fact["idx"])
        for fact in prompts.data(prompt, "EXISTING FACTS", last=False) or []
        if _says_the_same(new, _words(str(fact["fact"])))
    ]
    return {"duplicate_facts": duplicates, "contradicted_facts": []}


def _words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.lower()))


def _says_the_same(left: Counter[str], right: Counter[str]) -> bool:
    if [w for w in left if w.isdigit()] != [w for w in right if w.isdigit()]:
        return False
    union = (left | right).total()
    return union > 0 and (left & right).total() / union >= SAME_FACT


def edge_timestamps(prompt: str) -> Answer:
    reference = _moment(prompts.section(prompt, "REFERENCE TIME") or "")
    valid_at, invalid_at = find_bounds(prompts.section(prompt, "FACT") or "", reference)
    return {"valid_at": valid_at, "invalid_at": invalid_at}


def edge_timestamps_batch(prompt: str) -> Answer:
    bounds = [
        find_bounds(str(fact.get("fact", "")), _moment(str(fact.get("reference_time", ""))))
        for fact in prompts.data(prompt, "FACTS") or []
    ]
    return {"timestamps": [{"valid_at": valid_at, "invalid_at": invalid_at} for valid_at, invalid_at in bounds]}


def entity_summaries(prompt: str) -> Answer:
    """For each entity what was known of it, and the sentences of the episode that name it."""
    messages = prompts.json_lines(prompts.section(prompt, "MESSAGES", "EPISODES"))
    analysis = analyse(str(messages[-1])) if messages and isinstance(messages[-1], str) else Analysis("")
    summaries = []
    for entity in prompts.data(prompt, "ENTITIES") or []:
        name, known = str(entity["name"]), str(entity.get("summary") or "")
        news = [line for line in analysis.sentences_about(name) if line not in known]
        summary = _join([*known.splitlines(), *news])
        if summary:
            summaries.append({"name": name, "summary": summary})
    return {"summaries": summaries}


def summary(prompt: str) -> Answer:
    """Two summaries as one: their lines and sentences, each once."""
    parts = prompts.after(prompt, "Summaries:") or []
    return {"summary": _join([line for part in parts for line in _lines(str(part.get("summary") or ""))])}


def description(prompt: str) -> Answer:
    """What a summary is about: the names that it names most."""
    text = str(prompts.after(prompt, "Summary:") or "")
    counts = Counter({name: len(found) for name, found in analyse(text).occurrences.items()})
    names = [name for name, _ in counts.most_common(4)]
    if not names:
        return {"description": " ".join(text.split()[:8]) or "Unnamed community"}
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return {"description": listed}


def saga_summary(prompt: str) -> Answer:
    return {"summary": _join(_lines(prompts.section(prompt, "MESSAGES") or ""))}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in re.split(r"\n+|(?<=[.!?])\s+", text) if line.strip()]


def _join(lines: list[str]) -> str:
    unique = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    return cut_at_sentence("\n".join(unique), SUMMARY_CHARS)


_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"(?<!\w)\+?\d[\d ()/.-]{6,18}\d(?!\w)")
_URL = re.compile(r"https?://[^\s<>\"]+")


def attributes(prompt: str, fields: dict[str, bool]) -> Answer:
    """Values for the attributes of a type (name → required): addresses are found, everything else stays unknown."""
    text = prompts.section(prompt, "FACT") or ""
    entity = prompts.data(prompt, "ENTITY")
    if isinstance(entity, dict):
        messages = prompts.json_lines(prompts.section(prompt, "MESSAGES"))
        content = str(messages[-1]) if messages else ""
        text = "\n".join(analyse(content).sentences_about(str(entity.get("name", ""))))
    found: Answer = {}
    for name, required in fields.items():
        pattern = next((p for word, p in _PATTERNS if word in name.lower()), None)
        match = pattern.search(text) if pattern is not None else None
        if match is not None:
            found[name] = match.group().rstrip(".,;")
        elif not required:
            found[name] = None
    return found


_PATTERNS: list[tuple[str, re.Pattern[str]]] = [
    ("mail", _EMAIL), ("phone", _PHONE), ("mobile", _PHONE), ("url", _URL), ("website", _URL),
]  # fmt: skip


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


#: By the name of the model that the answer is validated with.
ANSWERS: dict[str, Callable[[str], Answer]] = {
    "ExtractedEntities": entities,
    "CombinedExtraction": entities_and_edges,
    "ExtractedEdges": edges,
    "NodeResolutions": node_resolutions,
    "NodeDuplicate": node_resolution,
    "EdgeDuplicate": edge_duplicate,
    "EdgeTimestamps": edge_timestamps,
    "BatchEdgeTimestamps": edge_timestamps_batch,
    "SummarizedEntities": entity_summaries,
    "Summary": summary,
    "SummaryDescription": description,
    "SagaSummary": saga_summary,
}
