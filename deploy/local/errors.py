"""Errors of the embedded stack; each message is one line for a person."""

from __future__ import annotations


class StackError(Exception):
    """Something the reader can act on; the text is complete and fits on one line."""


class PartUnavailableError(StackError):
    """A server can be had in none of the ways tried; the text says what to install."""


class PortTakenError(StackError):
    """A port is held by a process that is not ours."""


class UnhealthyError(StackError):
    """A process was started and did not become healthy."""
