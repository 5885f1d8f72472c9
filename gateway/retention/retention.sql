-- What is old goes. Each statement takes few rows at a time, so that nobody waits long for a lock, and looks again whether they may
-- go: what was retried since stays. Ids are given as arrays, and what is asked of each task is a subquery of its own, so that the
-- plan is the same however many rows there are.

-- name: unneeded
-- Of a dispatch row `d`: nobody will want it. An open dead letter may be redriven; a node of a DAG belongs to its run, and a run
-- to the run that it is a node of; an engine may still have to hear of a stop.
d.state || '' IN ('completed', 'failed', 'stopped') AND d.cancel_epoch IS NULL
AND (SELECT true FROM taskgate.dead_letter l WHERE l.id = d.task_id AND l.state = 'open') IS NULL
AND (SELECT true FROM taskgate.delivery c WHERE c.task_id = d.task_id AND c.state = 'pending' LIMIT 1) IS NULL
AND (SELECT true FROM taskgate.engine_duty e WHERE e.subject = d.task_id LIMIT 1) IS NULL
AND (SELECT true FROM taskgate.attempt a
     WHERE a.task_id = d.task_id AND a.outcome IS NOT NULL AND NOT a.is_counted LIMIT 1) IS NULL
AND (SELECT true FROM taskgate.dispatch r WHERE r.task_id = d.dag_run_id AND r.task_id <> d.task_id) IS NULL
AND (SELECT true FROM taskgate.dag_run r JOIN taskgate.dispatch p ON p.task_id = r.parent_run WHERE r.run_id = d.task_id) IS NULL

-- name: ended
-- The next $3 tasks that ended, after the place ($1, $2), at least $4 seconds ago.
SELECT d.task_id, d.finished_at
FROM taskgate.dispatch d
WHERE d.finished_at >= $1 AND (d.finished_at, d.task_id) > ($1, $2::text)
  AND d.finished_at < now() - make_interval(secs => $4)
ORDER BY d.finished_at, d.task_id
LIMIT $3

-- name: forget_tasks
-- Of these tasks ($1) those that ended longer ago than is kept: $2 seconds, of the tenants $3 those in $4. Their rows of `task_logs`
-- stay; without the mark of the gateway they are found like those from before it. A row that would be seen by another tenant then
-- (contract §4, last paragraph) keeps its dispatch row, and so does one that somebody else set back to open: the dispatch row is what keeps a
-- copy of its payload from running.
WITH free AS MATERIALIZED (
    SELECT d.task_id
    FROM taskgate.dispatch d
    LEFT JOIN task_logs t ON t.id = d.task_id
    WHERE d.task_id = ANY ($1::text[])
      AND d.finished_at < now() - make_interval(secs => COALESCE(
            (SELECT k.seconds FROM unnest($3::text[], $4::float8[]) AS k (tenant_id, seconds) WHERE k.tenant_id = d.tenant_id), $2))
      AND /*unneeded*/
      AND (t.id IS NULL OR t.status IN ('COMPLETED', 'FAILED', 'STOPPED')
                           AND taskgate.legacy_tenant(t.payload::text, t.group_id) IS NOT DISTINCT FROM d.tenant_id)
    ORDER BY d.task_id
    FOR UPDATE OF d SKIP LOCKED
), gone AS (
    DELETE FROM taskgate.dispatch d USING free f WHERE d.task_id = f.task_id
), runs AS (
    DELETE FROM taskgate.dag_run r USING free f WHERE r.run_id = f.task_id
), history AS (
    DELETE FROM taskgate.attempt a USING free f WHERE a.task_id = f.task_id
), unmarked AS (
    UPDATE task_logs t SET payload = ltrim(t.payload::text, E'\t')::json
    FROM free f WHERE t.id = f.task_id AND starts_with(t.payload::text, E'\t')
)
SELECT count(*) FROM free

-- name: finished_logs
-- The next $3 finished rows of `task_logs`, after the place ($1, $2), at least $4 seconds old; not more than $5 bytes of payloads and
-- results, but for the first row. Of tenants other than $6 (NULL: of none) payloads are not read. Whose a row without a dispatch row is
-- the index of owners knows, one key after the other: the planner would rather compute the owner from the payload.
WITH keys AS MATERIALIZED (SELECT array_agg(k) AS keys FROM taskgate.owner_keys($6::text[]) AS k)
SELECT page.id, page.completed_at, page.is_wanted
FROM (
    SELECT t.id, t.completed_at, t.is_wanted,
           sum(CASE WHEN t.is_wanted
                    THEN COALESCE(octet_length(t.payload::text), 0) + COALESCE(octet_length(t.result::text), 0) ELSE 0 END)
               OVER (ORDER BY t.completed_at, t.id) AS bytes,
           row_number() OVER (ORDER BY t.completed_at, t.id) AS n
    FROM (
        SELECT t.*, CASE
            WHEN $6::text[] IS NULL THEN true
            WHEN d.task_id IS NOT NULL THEN COALESCE(d.tenant_id = ANY ($6::text[]), false)
            ELSE EXISTS (
                SELECT FROM unnest((SELECT keys FROM keys)) AS k (key)
                WHERE (SELECT true FROM task_logs o
                       WHERE taskgate.legacy_owner_key(o.payload::text, o.group_id) = k.key
                         AND starts_with(o.payload::text, E'\t') IS NOT TRUE AND o.status = t.status AND o.created_at = t.created_at AND o.id || '' = t.id))
            END AS is_wanted
        FROM (
            SELECT * FROM task_logs t
            WHERE t.completed_at >= $1 AND (t.completed_at, t.id) > ($1, $2::text)
              AND t.completed_at < now() - make_interval(secs => $4)
              AND t.status IN ('COMPLETED', 'FAILED', 'STOPPED')
            ORDER BY t.completed_at, t.id
            LIMIT $3
        ) AS t
        LEFT JOIN taskgate.dispatch d ON d.task_id = t.id
        OFFSET 0
    ) AS t
) AS page
WHERE page.bytes <= $5 OR page.n = 1
ORDER BY page.n

-- name: due_log
-- Of a row `t` of `task_logs`, and its dispatch row `d` if it has one: it is older than is kept, and nobody will want it.
t.status IN ('COMPLETED', 'FAILED', 'STOPPED')
AND t.completed_at < now() - make_interval(secs => COALESCE(
      (SELECT k.seconds FROM unnest($3::text[], $4::float8[]) AS k (tenant_id, seconds)
       WHERE k.tenant_id = CASE WHEN d.task_id IS NULL THEN taskgate.legacy_tenant(t.payload::text, t.group_id) ELSE d.tenant_id END), $2))
AND (d.task_id IS NULL OR (/*unneeded*/))

-- name: to_export
-- Those of these rows ($1) that are due, each as a line of JSON (a line break in JSON is space between its parts), with the
-- version that was read.
SELECT t.id, t.xmin::text AS version, t.completed_at, translate(row_to_json(t)::text, E'\n\r', '  ') AS line
FROM task_logs t
LEFT JOIN taskgate.dispatch d ON d.task_id = t.id
WHERE t.id = ANY ($1::text[]) AND /*due_log*/
ORDER BY t.completed_at, t.id

-- name: delete_exported
-- These rows ($1), where they still are as they were exported ($5), with all that the gateway knows of them.
WITH held AS MATERIALIZED (
    SELECT d.task_id FROM taskgate.dispatch d WHERE d.task_id = ANY ($1::text[]) ORDER BY d.task_id FOR UPDATE
), free AS MATERIALIZED (
    SELECT t.id
    FROM unnest($1::text[], $5::text[]) AS g (id, version)
    JOIN task_logs t ON t.id = g.id AND t.xmin::text = g.version
    LEFT JOIN taskgate.dispatch d ON d.task_id = t.id
    WHERE /*due_log*/ AND (SELECT count(*) FROM held) IS NOT NULL
    FOR UPDATE OF t
), gone AS (
    DELETE FROM task_logs t USING free f WHERE t.id = f.id
), dispatched AS (
    DELETE FROM taskgate.dispatch d USING free f WHERE d.task_id = f.id
), runs AS (
    DELETE FROM taskgate.dag_run r USING free f WHERE r.run_id = f.id
), history AS (
    DELETE FROM taskgate.attempt a USING free f WHERE a.task_id = f.id
)
SELECT count(*) FROM free

-- name: forget_keys
-- Idempotency keys that are older than $1 seconds; $2 at most, as below.
WITH gone AS (
    DELETE FROM taskgate.idempotency WHERE (user_id, key) IN (
        SELECT user_id, key FROM taskgate.idempotency WHERE created_at < now() - make_interval(secs => $1)
        ORDER BY created_at LIMIT $2)
      AND created_at < now() - make_interval(secs => $1)
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: forget_operations
WITH gone AS (
    DELETE FROM taskgate.operation WHERE operation_id IN (
        SELECT operation_id FROM taskgate.operation WHERE finished_at < now() - make_interval(secs => $1) LIMIT $2)
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: old_firings
-- The next $3 firings that are decided and whose tasks are over, after the place ($1, $2), at least $4 seconds old.
SELECT f.schedule_id, f.fire_at
FROM taskgate.firing f
WHERE f.outcome <> 'pending' AND NOT f.is_open AND f.fire_at >= $1 AND (f.fire_at, f.schedule_id) > ($1, $2::text)
  AND f.fire_at < now() - make_interval(secs => $4)
ORDER BY f.fire_at, f.schedule_id
LIMIT $3

-- name: forget_firings
-- Their times cannot fire again: the id of a task is derived from its time.
WITH gone AS (
    DELETE FROM taskgate.firing f
    USING unnest($1::text[], $2::timestamptz[]) AS g (schedule_id, fire_at), taskgate.schedule s
    WHERE f.schedule_id = g.schedule_id AND f.fire_at = g.fire_at AND s.schedule_id = f.schedule_id
      AND f.outcome <> 'pending' AND NOT f.is_open
      AND f.fire_at < now() - make_interval(secs => COALESCE(
            (SELECT k.seconds FROM unnest($4::text[], $5::float8[]) AS k (tenant_id, seconds) WHERE k.tenant_id = s.tenant_id), $3))
    RETURNING 1
)
SELECT count(*) FROM gone
