"""The type of tasks that are runs of DAGs; apart, because workflows import it."""

RUN_TYPE = "taskgate.dag"
#: Types that begin so are runs and nodes of DAGs; they mean nothing without their run.
BUILT_IN = "taskgate."
