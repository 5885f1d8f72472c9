-- A run that is started again keeps what was completed; these nodes run anew when their turn comes.
ALTER TABLE taskgate.dag_node
    ADD COLUMN again        boolean NOT NULL DEFAULT false,
    ADD COLUMN signal_name  text;           -- of a node that waits for a signal
