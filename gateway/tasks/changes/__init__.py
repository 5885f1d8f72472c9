"""The change feed: who is told that a task changed."""
