-- Telling workflows of nodes that ended.

-- name: take_ended
-- Ends that the workflow of their run does not know yet: of these tasks, or any (null). Whoever takes one has $2 seconds to
-- tell it. The workflow does not wait for the disk: what is lost with the server is taken again.
WITH hurried AS (
    SELECT set_config('synchronous_commit', 'off', true)
), ended AS (
    SELECT n.run_id, n.path, d.state
    FROM taskgate.dag_node n
    JOIN taskgate.dispatch d ON d.task_id = n.task_id
    WHERE NOT n.told AND NOT n.again AND d.state IN ('completed', 'failed', 'stopped')
      AND (n.told_at IS NULL OR n.told_at < now() - make_interval(secs => $2))
      AND ($1::text[] IS NULL OR n.task_id = ANY ($1::text[]))
    LIMIT 2000
    FOR UPDATE OF n SKIP LOCKED
)
UPDATE taskgate.dag_node n SET told_at = clock_timestamp()
FROM hurried, ended e, taskgate.dispatch r
WHERE n.run_id = e.run_id AND n.path = e.path AND r.task_id = e.run_id
RETURNING n.run_id, n.path, n.node, n.position, n.undoes, n.verdict, n.told_at, e.state, r.epoch, r.group_id,
          r.task_type, r.state IN ('starting', 'queued', 'running') AS is_open

-- name: told
UPDATE taskgate.dag_node n SET told = true
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS t (run_id, path, told_at)
WHERE n.run_id = t.run_id AND n.path = t.path AND n.told_at = t.told_at

-- name: company
-- Nodes of the run that are still open.
SELECT count(*) FROM (
    SELECT 1 FROM taskgate.dag_node WHERE run_id = $1 AND NOT told AND task_id IS NOT NULL LIMIT 1000
) AS open

-- name: is_busy
SELECT EXISTS (SELECT 1 FROM taskgate.dag_node WHERE NOT told AND task_id IS NOT NULL)

-- name: abandoned
-- Runs that are over while nodes of them are open: stopped by other ways than a DAG's own, or ended by hand in the engine.
SELECT DISTINCT n.run_id
FROM taskgate.dag_node n
JOIN taskgate.dispatch d ON d.task_id = n.task_id
JOIN taskgate.dispatch r ON r.task_id = n.run_id
WHERE NOT n.told AND d.state IN ('waiting', 'starting', 'queued', 'running')
  AND r.state IN ('completed', 'failed', 'stopped')
LIMIT 100
