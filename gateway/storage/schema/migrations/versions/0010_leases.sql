-- The start of the PostgreSQL server at which a process last registered: a restart takes all session locks with it.
ALTER TABLE taskgate.process ADD COLUMN server_started timestamptz;
