-- What expressions of a run read: the ends of its nodes.

-- name: ends
-- Of these nodes: items in their order. A result beyond $3 bytes is left out; `bytes` tells. With a verdict, or
-- if the task is to run again, it is of a run before.
SELECT n.node, n.position, n.verdict, n.reason, n.task_id, d.state, t.error_message,
       CASE WHEN n.verdict IS NULL AND NOT n.again THEN octet_length(t.result::text) END AS bytes,
       CASE WHEN NOT n.again AND octet_length(t.result::text) <= $3 THEN t.result::text END AS result
FROM taskgate.dag_node n
LEFT JOIN taskgate.dispatch d ON d.task_id = n.task_id
LEFT JOIN task_logs t ON t.id = n.task_id
WHERE n.run_id = $1 AND n.node = ANY ($2::text[]) AND NOT n.undoes
ORDER BY n.node, n.position NULLS FIRST
