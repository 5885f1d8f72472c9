-- The flag that the ledger's newest entries speak of, with what it hangs on, exactly: entries have percentages and rules in words.
CREATE TABLE taskgate.flag_last_known (
    flag_key    text PRIMARY KEY,
    source      text NOT NULL,
    version     text NOT NULL,
    document    jsonb NOT NULL,
    at          timestamptz NOT NULL DEFAULT now()
);
