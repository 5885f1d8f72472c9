-- A worker that reads its mark with its lease drains as after SIGTERM.
ALTER TABLE taskgate.process
    ADD COLUMN drain_at  timestamptz,
    ADD COLUMN drain_by  text,
    ADD COLUMN drain_why text;
