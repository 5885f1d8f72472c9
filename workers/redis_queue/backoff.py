"""Pauses between tries to reach a server that is away."""

from __future__ import annotations

import random


class Backoff:
    """Doubles from `first` to `longest` seconds; each pause is shortened at random, so that a fleet spreads out."""

    def __init__(self, first: float = 0.05, longest: float = 2.0) -> None:
        self._first = first
        self._longest = longest
        self._pause = first

    def next(self) -> float:
        """The next pause in seconds."""
        pause = self._pause
        self._pause = min(pause * 2, self._longest)
        return pause * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start anew: the server answered."""
        self._pause = self._first
