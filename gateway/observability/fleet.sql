-- Figures of the whole fleet that only metrics show.

-- name: growth
-- Open dead letters of tasks, and bytes of the database.
SELECT (SELECT count(*) FROM taskgate.dead_letter WHERE state = 'open' AND kind = 'task') AS dead_letters,
       pg_database_size(current_database()) AS bytes

-- name: held
-- Waiting tasks that are held back, by the first word of the reason (`quota`, `paused`, …) and plan.
SELECT split_part(h.held, ':', 1) AS reason, lower(COALESCE(n.plan, '')) AS plan, sum(h.tasks)::bigint AS tasks
FROM (SELECT tenant_id, held, count(*) AS tasks FROM taskgate.dispatch WHERE held IS NOT NULL AND phase = 'waiting' GROUP BY 1, 2) AS h
LEFT JOIN tenants n ON n.id = h.tenant_id
GROUP BY 1, 2
