"""Secrets that come by file: read again when the file changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

Secret = str | Callable[[], str]
"""A secret, or what returns its value of now; see `text_of`."""

_Stamp = tuple[int, int, int]


def text_of(secret: Secret) -> str:
    """The secret's value of now."""
    return secret() if callable(secret) else secret


@dataclass(slots=True)
class SecretFile:
    """One file with one secret; space and line ends around it are no part of it."""

    path: Path
    check: Callable[[str], str] = str
    """What the text becomes. Raises `ValueError` for one that cannot be meant."""
    _stamp: _Stamp | None = None
    _text: str = field(default="", repr=False)
    _complaint: str = ""

    def read(self) -> str:
        """Raises `OSError` for a file that cannot be read, `ValueError` for one that is empty or no text."""
        stamp = self._look()
        if stamp != self._stamp:
            text = self.check(self.path.read_text("utf-8").strip())
            if not text:
                raise ValueError("it is empty")
            self._stamp, self._text = stamp, text
        return self._text

    def latest(self) -> str:
        """As `read`; a file that cannot be read now (it is being replaced, perhaps) leaves its last value in force."""
        try:
            text = self.read()
        except (OSError, ValueError) as error:
            # It is asked for at every use, and said once.
            if (complaint := why(error)) != self._complaint:
                self._complaint = complaint
                log.warning("the secret in %s cannot be read, its last value stays in force: %s", self.path, complaint)
            return self._text
        self._complaint = ""
        return text

    def _look(self) -> _Stamp:
        found = self.path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino


def why(error: OSError | ValueError) -> str:
    """In words, without anything of the file's content."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
