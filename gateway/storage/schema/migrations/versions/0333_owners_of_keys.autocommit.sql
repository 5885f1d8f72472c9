-- Of users without a tenant each has keys of its own. The user stands at the end: statements of the release before name the other two. A
-- tenant's id may be a user's, so the two are never one column.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS owner_unique_key
    ON taskgate.dispatch (COALESCE(tenant_id, ''), unique_key, COALESCE(CASE WHEN tenant_id IS NULL THEN user_id END, ''))
    WHERE unique_key IS NOT NULL AND phase IN ('waiting', 'open');

-- Both at once: gateways know a taken key by the name of the index that refuses it. DROP INDEX CONCURRENTLY would let the new one refuse
-- under its first name for as long as a backup reads the table.
DO $$
BEGIN
    DROP INDEX IF EXISTS taskgate.dispatch_unique_key;
    ALTER INDEX taskgate.owner_unique_key RENAME TO dispatch_unique_key;
END
$$;
