-- What was started last under each entry of the ledger, and how it is: people ask for a page of entries, with the counts of each.
CREATE INDEX CONCURRENTLY IF NOT EXISTS dispatch_entry ON taskgate.dispatch (entry_id, state) WHERE entry_id IS NOT NULL;
