-- What a worker process asks of PostgreSQL beside the task's transitions.

-- name: tenants_with_queues
-- Tenants whose own task queues a worker serves: those of the plans $1. If it serves shared queues ($2), it also runs what still
-- waits in the queue of a tenant that has left the plans with queues of their own ($3).
SELECT id AS tenant_id FROM tenants
WHERE lower(btrim(plan, E' \t\r\n')) = ANY ($1::text[])
UNION
SELECT DISTINCT d.tenant_id FROM taskgate.dispatch d LEFT JOIN tenants t ON t.id = d.tenant_id
WHERE d.phase = 'open' AND d.backend = 'temporal' AND d.queue LIKE 'tenant-%'
  AND d.tenant_id IS NOT NULL
  AND $2 AND lower(btrim(COALESCE(t.plan, ''), E' \t\r\n')) <> ALL ($3::text[])

-- name: is_type_served
-- Whether some living worker of backend $1 has a handler for type $2, or one had it within the last $3 seconds.
SELECT EXISTS (SELECT 1 FROM taskgate.process
               WHERE kind = 'worker' AND backend = $1 AND $2 = ANY(task_types)
                 AND (lost_at IS NULL OR lost_at > now() - make_interval(secs => $3)))

-- name: payload
-- Of task $1.
SELECT payload::text FROM task_logs WHERE id = $1
