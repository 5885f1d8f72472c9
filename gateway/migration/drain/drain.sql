-- What is left for Redis, as PostgreSQL knows it. Counts come from partial indexes over unfinished tasks.

-- name: open_tasks
-- Unfinished tasks by group and by how they are. Those that wait here are not routed yet: the caller asks where each kind would
-- go. `later`: seconds until the last of them may begin; `elapsed`: for which the longest of them runs. Nodes and runs of DAGs stay
-- where workflows are.
SELECT d.tenant_id, t.plan, d.project_id, d.task_type, d.group_id, d.kind, d.wanted_backend, count(*) AS tasks,
       GREATEST(max(extract(epoch FROM d.begins - now())), 0)::float8 AS later,
       GREATEST(max(extract(epoch FROM now() - d.claimed_at)) FILTER (WHERE d.kind IN ('running', 'legacy')), 0)::float8 AS elapsed
FROM (
    SELECT o.tenant_id, o.project_id, o.task_type, o.group_id, NULL AS wanted_backend, o.claimed_at, NULL::timestamptz AS begins,
           CASE WHEN o.state <> 'running' THEN 'queued' WHEN p.process_id IS NULL THEN 'legacy' ELSE 'running' END AS kind
    FROM taskgate.dispatch o
    LEFT JOIN taskgate.process p ON p.process_id = o.worker_id
    WHERE o.phase = 'open' AND o.backend = 'redis'
    UNION ALL
    SELECT w.tenant_id, w.project_id, w.task_type, w.group_id, w.wanted_backend, NULL, GREATEST(w.not_before, w.due_at),
           CASE WHEN w.held LIKE 'quota:%' THEN 'quota' WHEN w.held IS NOT NULL THEN 'paused'
                WHEN w.failures > 0 AND w.due_at > now() THEN 'retrying' WHEN w.not_before > now() THEN 'delayed'
                ELSE 'waiting' END
    FROM taskgate.dispatch w
    WHERE w.phase = 'waiting' AND w.dag_run_id IS NULL
      AND NOT EXISTS (SELECT 1 FROM taskgate.dag_run r WHERE r.run_id = w.task_id)
) AS d
LEFT JOIN tenants t ON t.id = d.tenant_id
GROUP BY 1, 2, 3, 4, 5, 6, 7

-- name: on_engine
-- What engine $1 has by our rows, and what it is just being given.
SELECT count(*) FILTER (WHERE state <> 'starting') AS started, count(*) FILTER (WHERE state = 'starting') AS starting
FROM taskgate.dispatch
WHERE phase = 'open' AND backend = $1

-- name: foreign_rows
-- Unfinished rows of task_logs that others wrote and the gateway does not know.
SELECT taskgate.legacy_tenant(r.payload::text, r.group_id) AS tenant_id, r.status = 'PROCESSING' AS runs, count(*) AS tasks
FROM task_logs r
WHERE starts_with(r.payload::text, E'\t') IS NOT TRUE AND r.status IN ('PENDING', 'PROCESSING')
  AND NOT EXISTS (SELECT 1 FROM taskgate.dispatch d WHERE d.task_id = r.id)
GROUP BY 1, 2

-- name: schedules
-- Schedules that will fire, and when the first of a kind does.
SELECT s.tenant_id, t.plan, s.project_id, s.definition->'action'->>'type' AS task_type, count(*) AS schedules,
       min(s.fire_at) AS next_at
FROM taskgate.schedule s
LEFT JOIN tenants t ON t.id = s.tenant_id
WHERE s.fire_at IS NOT NULL
GROUP BY 1, 2, 3, 4

-- name: arrivals
-- Tasks that came within the last $1 seconds, by group, with those that others wrote (`is_foreign`).
SELECT c.tenant_id, t.plan, c.project_id, c.task_type, c.group_id, c.is_foreign, count(*) AS tasks
FROM (
    SELECT d.tenant_id, d.project_id, d.task_type, d.group_id, false AS is_foreign
    FROM (
        SELECT id FROM task_logs
        WHERE status IN ('PENDING', 'PROCESSING') AND created_at > now() - make_interval(secs => $1) AND starts_with(payload::text, E'\t')
        UNION ALL
        SELECT id FROM task_logs
        WHERE status IN ('COMPLETED', 'FAILED', 'STOPPED') AND created_at > now() - make_interval(secs => $1)
          AND starts_with(payload::text, E'\t')
    ) AS l
    JOIN taskgate.dispatch d ON d.task_id = l.id
    WHERE (d.backend IS NULL OR d.backend = 'redis') AND d.dag_run_id IS NULL
    UNION ALL
    SELECT taskgate.legacy_tenant(r.payload::text, r.group_id), NULL, r.task_type, r.group_id, true
    FROM task_logs r
    WHERE r.created_at > now() - make_interval(secs => $1) AND starts_with(r.payload::text, E'\t') IS NOT TRUE
) AS c
LEFT JOIN tenants t ON t.id = c.tenant_id
GROUP BY 1, 2, 3, 4, 5, 6

-- name: runs
-- How long the newest runs on Redis took, at most $2 that ended within $1 seconds; how many of them within $3. `overhead`: the time
-- between two runs of a group that had work, where it was shortest.
WITH ended AS MATERIALIZED (
    SELECT * FROM (
        (SELECT d.tenant_id, d.task_type, d.group_id, d.queued_at, d.claimed_at, d.finished_at
         FROM taskgate.dispatch d
         WHERE d.finished_at > now() - make_interval(secs => $1) AND d.backend = 'redis' AND d.claimed_at IS NOT NULL
           AND d.state IN ('completed', 'failed')
         ORDER BY d.finished_at DESC LIMIT $2)
        UNION ALL
        (SELECT taskgate.legacy_tenant(l.payload::text, l.group_id), l.task_type, l.group_id, l.created_at, l.started_at,
                l.completed_at
         FROM task_logs l
         WHERE l.completed_at > now() - make_interval(secs => $1) AND starts_with(l.payload::text, E'\t') IS NOT TRUE
           AND l.started_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM taskgate.dispatch d WHERE d.task_id = l.id)
         ORDER BY l.completed_at DESC LIMIT $2)
    ) AS both_kinds
), gaps AS (
    SELECT extract(epoch FROM claimed_at - before)::float8 AS seconds
    FROM (SELECT claimed_at, queued_at, lag(finished_at) OVER (PARTITION BY group_id ORDER BY claimed_at) AS before
          FROM ended) AS in_order
    WHERE before <= claimed_at AND queued_at <= before
)
SELECT e.tenant_id, e.task_type, count(*) AS ended,
       count(*) FILTER (WHERE e.finished_at > now() - make_interval(secs => $3)) AS lately,
       avg(extract(epoch FROM e.finished_at - e.claimed_at))::float8 AS mean,
       COALESCE(var_pop(extract(epoch FROM e.finished_at - e.claimed_at)), 0)::float8 AS variance,
       (SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY seconds) FROM gaps)::float8 AS overhead
FROM ended e
GROUP BY 1, 2

-- name: workers
-- Slots of living workers of Redis, and legacy workers that took or ended something within $1 seconds.
SELECT (SELECT COALESCE(sum(slots), 0) FROM taskgate.process
        WHERE kind = 'worker' AND backend = 'redis' AND lost_at IS NULL AND renewed_at <> '-infinity')::bigint AS slots,
       (SELECT count(DISTINCT l.worker_id) FROM (
            SELECT o.worker_id FROM task_logs o WHERE o.status = 'PROCESSING' AND o.started_at IS NOT NULL
            UNION ALL
            SELECT e.worker_id FROM task_logs e WHERE e.completed_at > now() - make_interval(secs => $1)
        ) AS l
        WHERE l.worker_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM taskgate.process p WHERE p.process_id = l.worker_id)) AS legacy

-- name: quotas
SELECT tenant_id, running FROM taskgate.quota WHERE project_id = '' AND running IS NOT NULL

-- name: look
SELECT looked_at, watched_since FROM taskgate.foreign_look

-- name: payloads_set_aside
-- Payloads that were moved from Redis to the dead letters and are open, by tenant.
SELECT tenant_id, count(*) AS payloads FROM taskgate.dead_letter WHERE kind = 'payload' AND state = 'open' GROUP BY 1

-- name: tenants
SELECT id AS tenant_id, plan FROM tenants ORDER BY id

-- name: slowest
-- Of what is left for Redis what ends last, as far as that is seen from here, with the columns of the dispatch view: what is held,
-- what may not begin for long, what was accepted first. $1: of these tenants ('-': nobody's); $2: of these that wait here; $3: so
-- many of each.
SELECT /*columns*/
FROM (
    (SELECT h.task_id, 1 AS rank, h.created_at AS at FROM taskgate.dispatch h
     WHERE h.phase = 'waiting' AND h.held IS NOT NULL AND h.dag_run_id IS NULL AND COALESCE(h.tenant_id, '-') = ANY ($2::text[])
     ORDER BY h.created_at LIMIT $3)
    UNION ALL
    (SELECT w.task_id, 2, now() - (w.due_at - now()) FROM taskgate.dispatch w
     WHERE w.phase = 'waiting' AND w.held IS NULL AND w.dag_run_id IS NULL AND COALESCE(w.tenant_id, '-') = ANY ($2::text[])
     ORDER BY w.due_at DESC LIMIT $3)
    UNION ALL
    (SELECT o.task_id, 3, o.created_at FROM taskgate.dispatch o
     WHERE o.phase = 'open' AND o.backend = 'redis' AND COALESCE(o.tenant_id, '-') = ANY ($1::text[])
     ORDER BY o.created_at LIMIT $3)
) AS slow
JOIN taskgate.dispatch d ON d.task_id = slow.task_id
JOIN task_logs t ON t.id = d.task_id
ORDER BY slow.rank, slow.at
LIMIT $3

-- name: oldest_rows
-- Of the unfinished rows that others wrote those that were written first.
SELECT r.id AS task_id, r.task_type, r.worker_id, r.status,
       taskgate.legacy_tenant(r.payload::text, r.group_id) AS tenant_id, r.created_at
FROM task_logs r
WHERE starts_with(r.payload::text, E'\t') IS NOT TRUE AND r.status IN ('PENDING', 'PROCESSING')
  AND NOT EXISTS (SELECT 1 FROM taskgate.dispatch d WHERE d.task_id = r.id)
  AND ($1::text IS NULL OR taskgate.legacy_tenant(r.payload::text, r.group_id) = $1)
ORDER BY r.created_at LIMIT $2
