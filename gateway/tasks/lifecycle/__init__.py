"""Every change of a task's state."""
