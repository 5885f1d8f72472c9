"""`task_logs` and the dispatch rows: lifecycle, queries, changes."""
