-- What the part `cost` reads.

-- name: unfinished
SELECT count(*) FROM taskgate.dispatch WHERE state IN ('waiting', 'starting', 'queued', 'running')

-- name: cost
-- Of the tables of tasks and their indexes, since $1: versions of rows that were written (`hot`: those that no index heard of),
-- entries of indexes, and bytes without images of pages.
WITH parts AS (
    SELECT c.relname::text AS relation, pg_relation_filenode(c.oid) AS file
    FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE COALESCE(i.indrelid, c.oid) IN ('task_logs'::regclass, 'taskgate.dispatch'::regclass, 'taskgate.attempt'::regclass)
), records AS (
    SELECT resource_manager, record_type, record_length - fpi_length AS bytes,
           (regexp_match(block_ref, 'rel \d+/\d+/(\d+)'))[1]::oid AS file
    FROM pg_get_wal_records_info($1::pg_lsn, pg_current_wal_flush_lsn())
    WHERE resource_manager IN ('Heap', 'Heap2', 'Btree', 'Gin')
)
SELECT p.relation,
       count(*) FILTER (WHERE record_type IN ('INSERT', 'INSERT+INIT', 'UPDATE', 'UPDATE+INIT', 'HOT_UPDATE')) AS rows,
       count(*) FILTER (WHERE record_type = 'HOT_UPDATE') AS hot,
       count(*) FILTER (WHERE record_type IN ('INSERT_LEAF', 'INSERT_POST', 'SPLIT_L', 'SPLIT_R') OR
                              resource_manager = 'Gin' AND record_type LIKE 'INSERT%') AS entries,
       sum(bytes) AS bytes
FROM records r JOIN parts p ON p.file = r.file
GROUP BY p.relation ORDER BY sum(bytes) DESC
