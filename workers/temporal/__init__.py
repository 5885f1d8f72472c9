"""The Temporal worker: `pool` polls the queues, `activities` runs tasks, `workflows` is the one-activity fallback.

Empty on purpose: Temporal imports `workflows` in its sandbox, and a package's `__init__` runs with it.
"""
