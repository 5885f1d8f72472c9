"""The Lua scripts, each with the table of keys and `common.lua` before it; keys are spelt in `wire.py` alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

from backends.redis_queue import wire

_KEYS = {
    "active_groups": wire.ACTIVE_GROUPS,
    "group": wire.GROUP,
    "processing": wire.PROCESSING,
    "lock": wire.LOCK,
    "start": wire.START,
    "ended": wire.ENDED,
    "workers": wire.WORKERS,
    "held": wire.HELD,
    "own": wire.OWN,
    "emptied": wire.EMPTIED,
    "dead": wire.DEAD,
    "collected": wire.COLLECTED,
    "dead_large": wire.DEAD_LARGE,
    "incarnation": wire.INCARNATION,
    "mark": wire.MARK,
    "wake": wire.WAKE,
    "order": wire.ORDER,
    "arrivals": wire.ARRIVALS,
    "urgent": wire.URGENT,
    "tenants": wire.TENANTS,
    "tenant_groups": wire.TENANT_GROUPS,
    "group_tenant": wire.GROUP_TENANT,
    "weights": wire.WEIGHTS,
    "given": wire.GIVEN,
    "ahead": wire.AHEAD,
    "epoch": wire.EPOCH,
    "trace": wire.TRACE,
}


@dataclass(frozen=True, slots=True)
class Script:
    """One script and the digest under which Redis remembers it."""

    name: str
    source: bytes
    digest: str


def _load(name: str, *shared: str) -> Script:
    """The script, with the functions of `common.lua` and those of the `shared` files before it."""
    folder = resources.files(__package__).joinpath("lua")
    keys = "local K = {" + ", ".join(f"{name} = '{value}'" for name, value in _KEYS.items()) + "}\n"
    parts = [folder.joinpath(f"{part}.lua").read_text(encoding="utf-8") for part in ("common", *shared, name)]
    source = (keys + "".join(parts)).encode()
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest())


START = _load("start", "fair_turns")
FIND = _load("find")
CONTENTS = _load("contents")
CANCEL = _load("cancel")
REMOVE = _load("remove", "fair_turns")
END = _load("end")
REQUEUE = _load("requeue", "fair_turns")
WITHDRAW = _load("withdraw", "fair_turns")
ENDED = _load("ended")
NOT_ENDED = _load("not_ended")
INCARNATION = _load("incarnation")
MARK = _load("mark")
RECEIVE = _load("receive", "fair_turns")
FINISH = _load("finish", "fair_turns")
SET_ASIDE = _load("set_aside")
GIVE_BACK = _load("give_back", "fair_turns")
SIGN_OFF = _load("sign_off")
RENEW = _load("renew")
ACTIVATE = _load("activate")
KEEP_FRESH = _load("keep_fresh")
PEEK = _load("peek", "foreign")
COUNT = _load("count", "foreign", "tally")
COUNT_COLLECTED = _load("count_collected", "foreign", "tally", "collection")
COUNT_DEAD = _load("count_dead")
COLLECT = _load("collect", "collection")
COLLECTED = _load("collected", "collection")
SETTLE = _load("settle", "collection")
