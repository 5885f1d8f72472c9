-- Of the asking to which the present claim was granted. The same worker may be offered a task twice; only the one who asked
-- again has the same token.
ALTER TABLE taskgate.dispatch ADD COLUMN claim_token bigint;
