-- A number that the leader raises every few seconds, here first and then in Redis. A Redis that knows a higher one
-- remembers a time that this database does not: a backup was restored, and not recovered.
CREATE TABLE taskgate.mark (
    is_only      boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    database_id  uuid,                          -- its name in Redis; null until it is used first, so that a template has none
    number       bigint NOT NULL DEFAULT 0,
    behind_since timestamptz                    -- a leader found it behind
);
INSERT INTO taskgate.mark DEFAULT VALUES;
