"""The change feed: tells readers that a task has changed."""
