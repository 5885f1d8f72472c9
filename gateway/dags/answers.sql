-- Answers to nodes that wait for people: approvals and signals.

-- name: answer
-- The first answer to a node that waits for one; nothing when it waits no longer. $3: approval or signal.
WITH waiting AS (
    SELECT d.task_id, d.tenant_id FROM taskgate.dag_node n
    JOIN taskgate.dispatch d ON d.task_id = n.task_id
    WHERE n.run_id = $1 AND n.path = $2 AND d.task_type = $3 AND d.state = 'waiting' AND d.held IS NOT NULL
    FOR UPDATE OF d
), answered AS (
    UPDATE taskgate.dispatch d
    SET state = CASE WHEN $4 THEN 'completed' ELSE 'failed' END, finished_at = now(), held = NULL
    FROM waiting w WHERE d.task_id = w.task_id
    RETURNING d.task_id
), log AS (
    UPDATE task_logs t
    SET status = CASE WHEN $4 THEN 'COMPLETED' ELSE 'FAILED' END, completed_at = now(), started_at = now(),
        worker_id = $7, progress = 100, result = $5::json, error_message = $6
    FROM answered a WHERE t.id = a.task_id
)
UPDATE taskgate.dag_node n SET answer = $5::json
FROM answered a WHERE n.run_id = $1 AND n.path = $2
RETURNING a.task_id

-- name: waiting_for
-- The nodes of a run that wait for a signal of this name.
SELECT n.path FROM taskgate.dag_node n
JOIN taskgate.dispatch d ON d.task_id = n.task_id
WHERE n.run_id = $1 AND n.signal_name = $2 AND d.state = 'waiting' AND d.held IS NOT NULL
ORDER BY n.path

-- name: keep_signal
INSERT INTO taskgate.dag_signal (run_id, name, payload, sent_by) VALUES ($1, $2, $3::json, $4) ON CONFLICT DO NOTHING
RETURNING 1

-- name: early_signals
-- Of these nodes, those whose signal has come already, with the signals, which nobody else may take now.
SELECT n.path, s.name, s.payload::text AS payload, s.sent_by
FROM taskgate.dag_node n
JOIN taskgate.dag_signal s ON s.run_id = n.run_id AND s.name = n.signal_name
WHERE n.run_id = $1 AND n.path = ANY ($2::text[])
ORDER BY n.path
FOR UPDATE OF s

-- name: forget_signals
-- They have reached the nodes that waited for them; a later node waits for the next one.
DELETE FROM taskgate.dag_signal WHERE run_id = $1 AND name = ANY ($2::text[])
