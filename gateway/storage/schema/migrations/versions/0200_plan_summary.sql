-- What lists show of a plan, of its document: why, and the waves as JSON. NULL: written by a gateway before this migration.

ALTER TABLE taskgate.plan ADD COLUMN summary jsonb;
