"""Names of the local activities of `taskgate.dag`. Pure: imported by the workflow inside Temporal's sandbox."""

BEGIN = "taskgate.dag.begin"
OPEN = "taskgate.dag.open"
UNDO = "taskgate.dag.undo"
FINISH = "taskgate.dag.finish"
