"""Temporal as a backend: `TemporalEngine` in `engine`, and what it shares with the worker in `names` and `messages`.

Empty on purpose: workflow modules import `names` and `messages` inside Temporal's sandbox, and a package's
`__init__` runs with them.
"""
