"""Runs code and expressions of tenants in child processes with limits of time and memory."""
