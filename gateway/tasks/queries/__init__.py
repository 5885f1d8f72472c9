"""Reads of tasks."""
