"""The name of the person who runs a command, for records of changes."""

from __future__ import annotations

import os
import pwd
import subprocess

from gateway.cli.output import fail


def current_actor() -> str:
    """`$SUDO_USER`, `$USER`, git's `user.name`, the account's name, or its number: the first that there is."""
    for name in (os.environ.get("SUDO_USER"), os.environ.get("USER"), _git_user(), _account()):
        if name:
            return name
    return f"uid {os.getuid()}"


def actor(by: str | None) -> str:
    """Whom `--by` names, else the person at the keyboard; an empty name ends the command."""
    if by is not None and not by.strip():
        fail("--by must not be empty; write a name, or leave it out", code=2)
    return current_actor() if by is None else by


def _git_user() -> str | None:
    try:
        answer = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _account() -> str | None:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return None
