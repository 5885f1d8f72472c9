"""The type of tasks that are runs of DAGs; apart, because workflows import it."""

RUN_TYPE = "taskgate.dag"
