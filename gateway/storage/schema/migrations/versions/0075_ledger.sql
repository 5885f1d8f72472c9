-- Who changed what, when and why: append-only. Each entry holds the hash of the one before it (`gateway.migration.ledger.chain`),
-- so that one that was changed, removed or put in between is found. The text of `evidence` is part of the hash, hence `json`.
CREATE TABLE taskgate.ledger (
    id            bigint PRIMARY KEY,         -- 1, 2, 3 … without gaps
    at            timestamptz NOT NULL,
    kind          text NOT NULL,              -- `flip`: a change of routing
    source        text NOT NULL,              -- where it was made: genesis, file, database, launchdarkly, override
    scope         text NOT NULL,              -- what it is about: `tenant:acme`, `project:…`, `default`, `all`
    before        text,                       -- stages; NULL: not set, or no single one (`evidence` has its words)
    after         text,
    who           text NOT NULL,
    why           text NOT NULL,
    version       text NOT NULL,              -- of the flag; empty where there is none
    evidence      json NOT NULL,
    previous_hash bytea NOT NULL,
    hash          bytea NOT NULL
);
CREATE INDEX ledger_scope ON taskgate.ledger (scope, id);

-- Of a month whose entries have expired: what the next entry stands on.
CREATE TABLE taskgate.ledger_month (
    month         date PRIMARY KEY,           -- its first day, UTC
    first_id      bigint NOT NULL,
    last_id       bigint NOT NULL,
    opening_hash  bytea NOT NULL,
    closing_hash  bytea NOT NULL,
    expired_at    timestamptz NOT NULL DEFAULT now()
);

-- What the newest entry of each scope says. Gateways compare what they see with it, so that a change is written once.
CREATE TABLE taskgate.routing_in_force (
    layer         text NOT NULL CHECK (layer IN ('flag', 'override')),
    scope         text NOT NULL,
    setting       text NOT NULL,              -- empty: nothing is set
    version       text NOT NULL,
    entry_id      bigint NOT NULL,
    PRIMARY KEY (layer, scope)
);

-- Nobody but the owner changes or deletes entries, whatever rights new tables give to others by default.
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT DISTINCT table_name, grantee FROM information_schema.role_table_grants
        WHERE table_schema = 'taskgate' AND table_name IN ('ledger', 'ledger_month') AND grantee <> current_user
    LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON taskgate.%I FROM %s', one.table_name,
                       CASE one.grantee WHEN 'PUBLIC' THEN 'PUBLIC' ELSE quote_ident(one.grantee) END);
    END LOOP;
END
$$;
