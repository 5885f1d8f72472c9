-- What a client may ask of a task beyond its type and payload. Every column is NULL where nothing was asked, so that a plain
-- task costs what it did.
ALTER TABLE taskgate.dispatch
    ADD COLUMN labels            jsonb,             -- flat: text to text
    ADD COLUMN unique_key        text,              -- of the active tasks of a tenant one may have it
    ADD COLUMN retry_initial     double precision,  -- seconds; NULL in these three: the gateway's policy
    ADD COLUMN retry_coefficient double precision,
    ADD COLUMN retry_maximum     double precision,  -- seconds
    ADD COLUMN expires_at        timestamptz,       -- a task that has not started by then never does
    ADD COLUMN callback          jsonb,             -- whom to tell of the end: {"url": …}
    ADD COLUMN schedule_id       text,              -- the schedule that fired it
    ADD COLUMN dag_run_id        text,              -- the run of a DAG that it is a step of
    ADD COLUMN held              text;              -- why a waiting task is held back; NULL: it is not
