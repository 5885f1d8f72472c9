-- What a worker process asks of PostgreSQL beside the task's transitions.

-- name: tenants_with_queues
-- Tenants whose own task queues (design §4) a worker of pool $1 serves: A enterprise, B VIP, NULL both. Where work still
-- waits in the queue of a tenant that has left its tier, pool C and workers without a pool run it to its end.
SELECT id AS tenant_id FROM tenants
WHERE lower(plan) = ANY (CASE $1::text WHEN 'A' THEN ARRAY['enterprise'] WHEN 'B' THEN ARRAY['vip'] WHEN 'C' THEN ARRAY[]::text[]
                                       ELSE ARRAY['enterprise', 'vip'] END)
UNION
SELECT DISTINCT d.tenant_id FROM taskgate.dispatch d LEFT JOIN tenants t ON t.id = d.tenant_id
WHERE d.state IN ('starting', 'queued', 'running') AND d.backend = 'temporal' AND d.queue LIKE 'tenant-%'
  AND d.tenant_id IS NOT NULL
  AND COALESCE($1::text, 'C') = 'C' AND lower(COALESCE(t.plan, '')) NOT IN ('enterprise', 'vip')

-- name: is_type_served
-- Whether some living worker of backend $1 has a handler for type $2, or one had it within the last $3 seconds.
SELECT EXISTS (SELECT 1 FROM taskgate.process
               WHERE kind = 'worker' AND backend = $1 AND $2 = ANY(task_types)
                 AND (lost_at IS NULL OR lost_at > now() - make_interval(secs => $3)))
