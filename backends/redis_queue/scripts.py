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
    "taken": wire.TAKEN,
    "incarnation": wire.INCARNATION,
    "wake": wire.WAKE,
    "epoch": wire.EPOCH,
}


@dataclass(frozen=True, slots=True)
class Script:
    """One script and the digest under which Redis remembers it."""

    name: str
    source: bytes
    digest: str


def _load(name: str) -> Script:
    folder = resources.files(__package__).joinpath("lua")
    keys = "local K = {" + ", ".join(f"{name} = '{value}'" for name, value in _KEYS.items()) + "}\n"
    source = (
        keys
        + folder.joinpath("common.lua").read_text(encoding="utf-8")
        + folder.joinpath(f"{name}.lua").read_text(encoding="utf-8")
    ).encode()
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest())


START = _load("start")
LOCATE = _load("locate")
CANCEL = _load("cancel")
REQUEUE = _load("requeue")
ENDED = _load("ended")
INCARNATION = _load("incarnation")
PICK = _load("pick")
FINISH = _load("finish")
SET_ASIDE = _load("set_aside")
GIVE_BACK = _load("give_back")
RENEW = _load("renew")
ACTIVATE = _load("activate")
KEEP_FRESH = _load("keep_fresh")
HELD = _load("held")
PEEK = _load("peek")
TAKE = _load("take")
TAKEN = _load("taken")
SETTLE = _load("settle")
