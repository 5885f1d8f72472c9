"""Detects and repairs lost workers, lost starts, and differences between the tables and the engines."""
