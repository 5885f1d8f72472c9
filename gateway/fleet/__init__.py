"""The fleet: all processes and their tasks, and signals for autoscaling."""
