-- One row for each time that the database was behind its engines: after the restore of a backup, or a fail-over with loss.
-- While one is not finished no gateway and no worker starts.
CREATE TABLE taskgate.recovery (
    recovery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    began_at    timestamptz NOT NULL DEFAULT now(),
    began_by    text NOT NULL,
    why         text,
    last_write  timestamptz NOT NULL,           -- the youngest time in the restored database: there the gap begins
    epoch_floor integer NOT NULL,               -- above every epoch that was issued before
    finished_at timestamptz
);
CREATE UNIQUE INDEX recovery_open ON taskgate.recovery ((true)) WHERE finished_at IS NULL;

-- Tasks that were not over in the restored database, and tasks of the gap that it does not know.
CREATE TABLE taskgate.recovered_task (
    task_id     text PRIMARY KEY,
    recovery_id bigint NOT NULL,
    is_known    boolean NOT NULL,               -- it has a row in `dispatch`; else this row is all that there is
    backend     text,                           -- known: as the restored row said; else where it was found
    state       text,                           -- known: as the restored row said
    held        text,                           -- known: why it was held already (a pause, an approval that is waited for)
    epoch       integer NOT NULL DEFAULT 0,
    group_id    text NOT NULL DEFAULT '',
    task_type   text NOT NULL DEFAULT '',
    payload     text,                           -- not known: what lay in Redis; null: it is gone
    verdict     text NOT NULL DEFAULT 'undecided' CHECK (verdict IN ('undecided', 'completed', 'failed', 'continues')),
    found       text NOT NULL DEFAULT '',       -- what engines say of it, for people
    decision    text CHECK (decision IN ('start', 'drop')),
    decided_at  timestamptz,
    decided_by  text
);
CREATE INDEX recovered_task_undecided ON taskgate.recovered_task (task_id) WHERE verdict = 'undecided' AND decision IS NULL;
