"""Rehearsals: whether a tenant's tasks, which run on Redis, could run on Temporal."""
