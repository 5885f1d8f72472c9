"""Handlers' `rehearse`: what a worker does for a probe."""
