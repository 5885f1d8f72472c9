-- Statements about probes. Only the leader writes.

-- name: send
-- These probes are about to be sent: whoever leads next asks for their answers.
INSERT INTO taskgate.rehearsal_probe (task_id, tenant_id, task_type, queue)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
ON CONFLICT DO NOTHING
RETURNING task_id

-- name: under_way
-- With how long the task itself waited on Redis, where a worker of ours has it.
SELECT p.task_id, p.tenant_id, p.task_type, d.project_id, n.plan, extract(epoch FROM now() - p.sent_at)::float8 AS age,
       CASE WHEN a.started_at IS NOT NULL
            THEN GREATEST(extract(epoch FROM a.started_at - COALESCE(d.queued_at, a.started_at)), 0)::float8
       END AS redis_queue_seconds
FROM (SELECT * FROM taskgate.rehearsal_probe WHERE answered_at IS NULL ORDER BY sent_at LIMIT $1) p
LEFT JOIN taskgate.dispatch d ON d.task_id = p.task_id
LEFT JOIN tenants n ON n.id = d.tenant_id
LEFT JOIN taskgate.attempt a ON a.task_id = p.task_id AND a.attempt = 1
ORDER BY p.sent_at, p.task_id

-- name: answer
UPDATE taskgate.rehearsal_probe p
SET answered_at = now(), outcome = a.outcome, detail = a.detail, queue_seconds = a.queue_seconds,
    decode_seconds = a.decode_seconds, run_seconds = a.run_seconds, worker_id = a.worker_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::float8[], $6::float8[], $7::text[])
     AS a (task_id, outcome, detail, queue_seconds, decode_seconds, run_seconds, worker_id)
WHERE p.task_id = a.task_id AND p.answered_at IS NULL

-- name: trim
-- Of each of these tenants ($1) the newest $2 stay.
DELETE FROM taskgate.rehearsal_probe WHERE task_id IN (
    SELECT old.task_id FROM unnest($1::text[]) AS n (tenant_id)
    CROSS JOIN LATERAL (
        SELECT p.task_id FROM taskgate.rehearsal_probe p
        WHERE p.tenant_id = n.tenant_id AND p.answered_at IS NOT NULL ORDER BY p.sent_at DESC OFFSET $2
    ) AS old
)

-- name: forget
-- $2 of those that are older than $1 days.
DELETE FROM taskgate.rehearsal_probe
WHERE ctid = ANY (ARRAY (SELECT ctid FROM taskgate.rehearsal_probe WHERE sent_at < now() - make_interval(days => $1) LIMIT $2))

-- name: pairs
-- The answered probes of tenant $1 (NULL: of all) since $2, each with the first run of its task on Redis as far as that has got.
-- A task that a worker had before its start was confirmed did not wait.
SELECT p.task_id, p.tenant_id, p.task_type, p.queue, p.sent_at, p.outcome, p.detail, p.queue_seconds, p.decode_seconds,
       p.run_seconds, p.worker_id,
       CASE WHEN COALESCE(a.started_at, t.started_at) IS NOT NULL
            THEN GREATEST(extract(epoch FROM COALESCE(a.started_at, t.started_at)
                                             - COALESCE(d.queued_at, a.started_at, t.started_at)), 0)::float8
       END AS redis_queue_seconds,
       extract(epoch FROM COALESCE(a.ended_at, t.completed_at) - COALESCE(a.started_at, t.started_at))::float8 AS redis_run_seconds
FROM taskgate.rehearsal_probe p
LEFT JOIN taskgate.dispatch d ON d.task_id = p.task_id
LEFT JOIN task_logs t ON t.id = p.task_id
LEFT JOIN taskgate.attempt a ON a.task_id = p.task_id AND a.attempt = 1
WHERE p.answered_at IS NOT NULL AND ($1::text IS NULL OR p.tenant_id = $1) AND p.sent_at > $2
ORDER BY p.sent_at DESC, p.task_id
LIMIT $3
