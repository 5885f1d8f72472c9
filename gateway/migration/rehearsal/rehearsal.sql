-- Statements of rehearsals. Only the leader takes tasks out of `rehearsal_due`.

-- name: leave_out
-- Of the tasks that wait to be looked at, the newest $1 stay; how many others there were, of whom.
WITH gone AS (
    DELETE FROM taskgate.rehearsal_due
    WHERE task_id IN (SELECT task_id FROM taskgate.rehearsal_due ORDER BY at DESC OFFSET $1)
    RETURNING tenant_id, task_type
)
SELECT tenant_id, task_type, count(*) AS tasks FROM gone GROUP BY 1, 2

-- name: page
-- The next $1 tasks. Payloads of more than $2 bytes are left out.
SELECT r.task_id, r.tenant_id AS of_tenant, r.task_type, r.stage, d.task_id IS NULL OR t.id IS NULL AS row_gone,
       d.group_id, d.tenant_id, d.project_id, d.priority, d.max_attempts, d.retry_initial, d.retry_coefficient,
       d.retry_maximum, d.wanted_backend, n.plan, d.queued_at, d.claimed_at,
       CASE WHEN octet_length(t.payload::text) <= $2 THEN t.payload::text END AS payload
FROM (SELECT * FROM taskgate.rehearsal_due ORDER BY at LIMIT $1) r
LEFT JOIN taskgate.dispatch d ON d.task_id = r.task_id
LEFT JOIN task_logs t ON t.id = r.task_id
LEFT JOIN tenants n ON n.id = d.tenant_id
ORDER BY r.at

-- name: done
DELETE FROM taskgate.rehearsal_due WHERE task_id = ANY ($1)

-- name: count
-- Add to the counts of this hour.
INSERT INTO taskgate.rehearsal_count AS c (tenant_id, task_type, hour, what, tasks, last_at)
SELECT n.tenant_id, n.task_type, date_trunc('hour', now(), 'UTC'), n.what, n.tasks, now()
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS n (tenant_id, task_type, what, tasks)
ORDER BY 1, 2, 4
ON CONFLICT (tenant_id, hour, task_type, what) DO UPDATE SET tasks = c.tasks + EXCLUDED.tasks, last_at = EXCLUDED.last_at

-- name: keep_verdicts
INSERT INTO taskgate.rehearsal_verdict (task_id, tenant_id, task_type, stage, verdict, reasons, at)
SELECT n.task_id, n.tenant_id, n.task_type, n.stage, n.verdict, n.reasons::jsonb, now()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
     AS n (task_id, tenant_id, task_type, stage, verdict, reasons)
ON CONFLICT (task_id) DO NOTHING

-- name: trim_verdicts
-- Of each of these tenants ($1) and verdicts, the newest $2 stay.
DELETE FROM taskgate.rehearsal_verdict WHERE task_id IN (
    SELECT old.task_id
    FROM unnest($1::text[]) AS n (tenant_id)
    CROSS JOIN unnest('{ready,not_ready,unknown}'::text[]) AS k (verdict)
    CROSS JOIN LATERAL (
        SELECT v.task_id FROM taskgate.rehearsal_verdict v
        WHERE v.tenant_id = n.tenant_id AND v.verdict = k.verdict ORDER BY v.at DESC OFFSET $2
    ) AS old
)

-- name: forget_counts
-- $2 of those that are older than $1 days.
DELETE FROM taskgate.rehearsal_count
WHERE ctid = ANY (ARRAY (SELECT ctid FROM taskgate.rehearsal_count WHERE hour < now() - make_interval(days => $1) LIMIT $2))

-- name: forget_verdicts
DELETE FROM taskgate.rehearsal_verdict
WHERE ctid = ANY (ARRAY (SELECT ctid FROM taskgate.rehearsal_verdict WHERE at < now() - make_interval(days => $1) LIMIT $2))

-- name: counts
-- Of tenant $1 (NULL: of all), of the last $2 hours.
SELECT tenant_id, task_type, what, sum(tasks)::bigint AS tasks, max(last_at) AS last_at
FROM taskgate.rehearsal_count
WHERE ($1::text IS NULL OR tenant_id = $1) AND hour > now() - make_interval(hours => $2)
GROUP BY 1, 2, 3
ORDER BY 1, 2, 4 DESC, 3

-- name: waiting
-- Tasks that were not looked at yet.
SELECT tenant_id, count(*) AS tasks, extract(epoch FROM now() - min(at))::float8 AS seconds
FROM taskgate.rehearsal_due WHERE $1::text IS NULL OR tenant_id = $1 GROUP BY 1

-- name: verdicts
-- The newest $3 of tenant $1, of this verdict ($2; NULL: of all) and this reason ($4; NULL: whatever it is).
SELECT task_id, task_type, stage, verdict, reasons::text AS reasons, at
FROM taskgate.rehearsal_verdict
WHERE tenant_id = $1 AND ($2::text IS NULL OR verdict = $2)
  AND ($4::text IS NULL OR reasons @> jsonb_build_array(jsonb_build_object('code', $4::text)))
ORDER BY at DESC LIMIT $3

-- name: tenants
SELECT id, plan FROM tenants WHERE $1::text IS NULL OR id = $1 ORDER BY id
