"""Runs a program that refuses to run as root, when we are root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy.local.errors import PartUnavailableError

SERVICE_USERS = ("postgres", "nobody")


@dataclass(frozen=True)
class Unprivileged:
    """A command prefix, and the user that has to own the data (None: the present one)."""

    prefix: Sequence[str]
    owner: str | None = None

    def own(self, directory: Path) -> None:
        """Gives a directory tree to the user that the program will run as."""
        if self.owner is None:
            return
        for path in [directory, *directory.rglob("*")]:
            shutil.chown(path, self.owner, pwd.getpwnam(self.owner).pw_gid)


@cache
def unprivileged() -> Unprivileged:
    """The way that works here: none needed, a user namespace, or another user with the right to traverse.

    In a user namespace the files stay ours and so any directory will do; where containers forbid that,
    another user runs the program, with the one capability that lets it pass directories that are closed to it.
    """
    if os.geteuid() != 0:
        return Unprivileged(())
    namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
    if _works((*namespace, "true")):
        return Unprivileged(namespace)
    for user in SERVICE_USERS:
        try:
            group = pwd.getpwnam(user).pw_gid
        except KeyError:
            continue
        switch = ("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups")
        traverse = (*switch, "--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search", "--")
        for prefix in (traverse, (*switch, "--")):
            if _works((*prefix, "true")):
                return Unprivileged(prefix, owner=user)
    raise PartUnavailableError(
        "postgres: does not run as root, and neither `unshare` nor `setpriv` works here; "
        "run as another user, or name a server with TASKGATE_DATABASE_URL"
    )


def _works(argv: Sequence[str]) -> bool:
    if shutil.which(argv[0]) is None:
        return False
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
