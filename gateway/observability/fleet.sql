-- Figures of the whole fleet that only metrics show.

-- name: growth
-- Open dead letters of tasks, and bytes of the database.
SELECT (SELECT count(*) FROM taskgate.dead_letter WHERE state = 'open' AND kind = 'task') AS dead_letters,
       pg_database_size(current_database()) AS bytes

-- name: held
-- Waiting tasks that are held back, by the first word of the reason (`quota`, `paused`, …) and plan.
SELECT split_part(d.held, ':', 1) AS reason, lower(COALESCE(n.plan, '')) AS plan, count(*) AS tasks
FROM taskgate.dispatch d LEFT JOIN tenants n ON n.id = d.tenant_id
WHERE d.held IS NOT NULL AND d.phase = 'waiting'
GROUP BY 1, 2
