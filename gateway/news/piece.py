"""`Piece`: one piece of news, and who hears it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from gateway.access.placement import Caller
from gateway.access.verbs import Verb


class Topic(StrEnum):
    """Kind of resource that may have changed."""

    AUDIT = "audit"
    CALLBACK = "callback"
    DAG = "dag"
    DEAD_LETTER = "dead_letter"
    GUARDRAIL = "guardrail"
    KEY = "key"
    OPERATION = "operation"
    PAUSE = "pause"
    PLAN = "plan"
    QUOTA = "quota"
    SCHEDULE = "schedule"
    STAGE = "stage"
    TENANT = "tenant"
    WEBHOOK_SECRET = "webhook_secret"
    WORKER = "worker"


#: What reads a topic's things; the others are read by everybody who has a tenant.
_VERBS: Final = {
    Topic.AUDIT: Verb.OBSERVE,
    Topic.GUARDRAIL: Verb.OBSERVE,
    Topic.KEY: Verb.KEYS,
    Topic.PLAN: Verb.OBSERVE,
    Topic.STAGE: Verb.OBSERVE,
    Topic.WEBHOOK_SECRET: Verb.SECRETS,
    Topic.WORKER: Verb.OBSERVE,
}
_BY_NAME: Final = {topic.value: topic for topic in Topic}
#: Kinds of entries that are not called like their topic.
_KINDS: Final = {"flip": "stage"}


def topic_of(name: str) -> Topic | None:
    """None: there is no such topic here; a newer gateway may have it."""
    return _BY_NAME.get(name)


def verb_of(topic: Topic) -> Verb:
    """What somebody must be allowed to do to hear of it."""
    return _VERBS.get(topic, Verb.READ)


@dataclass(frozen=True, slots=True)
class Piece:
    """Something of `topic` has changed, of this tenant or of this user.

    Neither: it is for administrators alone, or for everybody (`for_all`).
    """

    topic: Topic
    tenant_id: str | None = None
    user_id: str | None = None
    for_all: bool = False

    def is_for(self, caller: Caller) -> bool:
        """Whether the caller, who may look at such things somewhere, may do so where this one is."""
        if self.for_all or caller.is_admin:
            return True
        if self.tenant_id is not None and caller.sees(self.tenant_id):
            roles = None if caller.rights is None else caller.rights.roles
            return roles is None or roles.level(self.tenant_id, None) >= verb_of(self.topic).level
        return caller.only is None and self.user_id == caller.user_id

    def is_about(self, tenant_id: str) -> bool:
        """Whether it may concern this tenant."""
        return self.for_all or self.tenant_id in (None, tenant_id)


def pieces_of(entry: Mapping[str, Any]) -> Iterator[Piece]:
    """What an entry of the record tells."""
    yield Piece(Topic.AUDIT)
    noun = entry["kind"].partition(".")[0]
    topic = topic_of(_KINDS.get(noun, noun))
    if topic is None:
        return
    facts = {**_facts(entry["before"]), **_facts(entry["after"])}
    tenant_id, user_id = _tenant_of(entry["scope"]) or facts.get("tenant_id"), facts.get("user_id")
    # A pause without a tenant holds tasks of any, and one of a project is its tenant's without naming it.
    for_all = topic is Topic.PAUSE and tenant_id is None
    yield Piece(topic, tenant_id, user_id, for_all)
    if topic is Topic.STAGE:
        # A page of a tenant shows its stage, which the default may decide.
        yield Piece(Topic.TENANT, tenant_id, for_all=tenant_id is None)


def _tenant_of(scope: str) -> str | None:
    """Of `tenant:acme` or `tenant:acme,dag:nightly`."""
    if not scope.startswith("tenant:"):
        return None
    return scope.removeprefix("tenant:").partition(",dag:")[0].partition(",project:")[0]


def _facts(text: str | None) -> dict[str, Any]:
    """What stands there as JSON, if it is that."""
    if text is None or not text.startswith("{"):
        return {}
    try:
        facts = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return {name: value for name, value in facts.items() if isinstance(value, str)}
