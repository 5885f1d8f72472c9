-- What a worker process asks of PostgreSQL beside the task's transitions.

-- name: tenants_with_queues
-- Tenants that have task queues of their own (design §4), and those that still have work waiting in one.
SELECT id AS tenant_id FROM tenants WHERE lower(plan) IN ('enterprise', 'vip')
UNION
SELECT DISTINCT tenant_id FROM taskgate.dispatch
WHERE state IN ('starting', 'queued', 'running') AND backend = 'temporal' AND queue LIKE 'tenant-%' AND tenant_id IS NOT NULL
