-- What the workflow of a run does in PostgreSQL. Each transaction begins with the fence (`hold_run`, or what `add_nodes` has of
-- it): a workflow whose run was stopped, or started again, can open and finish nothing any more.

-- name: hold_run
-- The run while this start of it ($2) is the one that counts.
SELECT r.owner, r.name, r.version, r.deadline_at, r.epoch AS run_epoch
FROM taskgate.dispatch d
JOIN taskgate.dag_run r ON r.run_id = d.task_id
WHERE d.task_id = $1 AND d.epoch = $2 AND d.state || '' IN ('starting', 'queued', 'running')
FOR UPDATE OF d

-- name: facts
-- The same to read, with what its nodes need to know; without the lock, which would wait for the disk.
SELECT r.owner, r.name, r.version, r.tenant_id, r.project_id, r.params::text AS params, r.priority, r.depth, r.created_at,
       d.group_id, d.user_id, d.stage, d.entry_id, d.trace::text AS trace, n.plan, COALESCE(w.weight, 1) AS weight,
       EXISTS (SELECT 1 FROM taskgate.pause)
       OR EXISTS (SELECT 1 FROM taskgate.quota q WHERE q.tenant_id = r.tenant_id AND q.running IS NOT NULL)
       OR rt.task_id IS NOT NULL AS held_back, rt.epoch AS restored_epoch
FROM taskgate.dispatch d
JOIN taskgate.dag_run r ON r.run_id = d.task_id
LEFT JOIN tenants n ON n.id = r.tenant_id
LEFT JOIN taskgate.tenant w ON w.tenant_id = r.tenant_id
LEFT JOIN taskgate.recovered_task rt ON rt.task_id = d.task_id
WHERE d.task_id = $1 AND d.epoch = $2 AND d.state || '' IN ('starting', 'queued', 'running')

-- name: task_of_run
-- A task that is carried out as a DAG although nobody asked for a run by name, and whether it is a node of another run.
SELECT d.task_type, d.tenant_id, d.project_id, d.user_id, d.priority, t.payload::text AS payload,
       COALESCE(d.dag_run_id <> d.task_id, false) AS is_node
FROM taskgate.dispatch d JOIN task_logs t ON t.id = d.task_id
WHERE d.task_id = $1 AND d.epoch = $2 AND d.state || '' IN ('starting', 'queued', 'running')

-- name: add_run
INSERT INTO taskgate.dag_run (run_id, owner, name, version, tenant_id, project_id, params, priority, parent_run, parent_path,
                              depth, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7::json, $8, $9, $10, $11, $12)
ON CONFLICT DO NOTHING

-- name: begin_run
-- The run runs: no worker process holds it, so no lost worker takes it along.
WITH begun AS (
    UPDATE taskgate.dispatch
    SET state = 'running', attempt = attempt + 1, worker_id = NULL, owner_id = NULL, claimed_at = now()
    WHERE task_id = $1 AND state || '' IN ('starting', 'queued')
    RETURNING task_id, attempt, epoch, backend, stage, rule, entry_id
), log AS (
    UPDATE task_logs t
    SET status = 'PROCESSING', started_at = now(), completed_at = NULL, stopped_at = NULL, worker_id = $2, error_message = NULL
    FROM begun WHERE t.id = begun.task_id
)
INSERT INTO taskgate.attempt (task_id, attempt, epoch, backend, worker_id, stage, rule, entry_id)
SELECT task_id, attempt, epoch, backend, $2, stage, rule, entry_id FROM begun

-- name: take_over
-- The first step of a start of the run: its deadline counts anew.
UPDATE taskgate.dag_run
SET epoch = $2, failure = NULL, deadline_at = now() + make_interval(secs => $3)
WHERE run_id = $1
RETURNING deadline_at

-- name: want_again
-- A run that was started again: what was stopped runs anew, and what could not; what failed unless its failure was to be lived with ($2), and what
-- was undone. Whatever was not opened is decided anew, but for what a person skipped.
WITH undone AS (
    DELETE FROM taskgate.dag_node WHERE run_id = $1 AND undoes RETURNING node, position
), refused AS (
    DELETE FROM taskgate.dag_node
    WHERE run_id = $1 AND NOT undoes AND (verdict = 'refused' OR verdict = 'skipped') AND task_id IS NULL
)
UPDATE taskgate.dag_node n SET again = true, told = false, told_at = NULL, verdict = NULL, reason = NULL
FROM taskgate.dispatch d
WHERE n.run_id = $1 AND d.task_id = n.task_id AND n.verdict IS DISTINCT FROM 'bypassed' AND NOT n.undoes
  AND (d.state = 'stopped' OR n.verdict = 'refused' OR (d.state = 'failed' AND n.node <> ALL ($2::text[]))
       OR EXISTS (SELECT 1 FROM undone u WHERE u.node = n.node AND u.position IS NOT DISTINCT FROM n.position))

-- name: nodes
-- Every node that was decided, and how its task stands.
SELECT n.node, n.position, n.undoes, n.verdict, n.again, n.task_id, json_array_length(n.items) AS items, d.state,
       d.finished_at
FROM taskgate.dag_node n
LEFT JOIN taskgate.dispatch d ON d.task_id = n.task_id
WHERE n.run_id = $1
ORDER BY d.finished_at NULLS FIRST, n.path

-- name: nodes_to_begin
-- The same for a beginning: a node whose end the workflow was told of, and that somebody runs again by itself, is open in
-- the state that the workflow gets, so that its next end is told, too. In one statement: both look at the same moment.
WITH open_again AS (
    UPDATE taskgate.dag_node n SET told = false, told_at = NULL
    FROM taskgate.dispatch d
    WHERE n.run_id = $1 AND d.task_id = n.task_id AND n.told AND NOT n.again AND n.verdict IS NULL
      AND d.state || '' IN ('waiting', 'starting', 'queued', 'running')
)
SELECT n.node, n.position, n.undoes, n.verdict, n.again, n.task_id, json_array_length(n.items) AS items, d.state,
       d.finished_at
FROM taskgate.dag_node n
LEFT JOIN taskgate.dispatch d ON d.task_id = n.task_id
WHERE n.run_id = $1
ORDER BY d.finished_at NULLS FIRST, n.path

-- name: nodes_at
-- Nodes that were decided already, of these paths.
SELECT n.path, n.verdict, n.again, n.task_id, json_array_length(n.items) AS items, d.state
FROM taskgate.dag_node n
LEFT JOIN taskgate.dispatch d ON d.task_id = n.task_id
WHERE n.run_id = $1 AND n.path = ANY ($2::text[])

-- name: add_nodes
-- In one statement, because the next node of a chain waits for it: the fence as in `hold_run` (no row: this start no longer
-- counts), how much of the run is done ($3), the nodes, and, when $16, the word to the dispatchers at the commit. `added` is
-- less than there are nodes when some of them were decided meanwhile.
WITH held AS (
    SELECT d.task_id AS run_id FROM taskgate.dispatch d
    WHERE d.task_id = $1 AND d.epoch = $2 AND d.state || '' IN ('starting', 'queued', 'running')
    FOR UPDATE
), progress AS (
    UPDATE task_logs t SET progress = $3 FROM held h WHERE t.id = h.run_id AND t.progress IS DISTINCT FROM COALESCE($3::int, t.progress)
), nodes AS (
    INSERT INTO taskgate.dag_node (run_id, path, node, position, undoes, task_id, verdict, reason, decided_by, condition, items,
                                   signal_name, told)
    SELECT h.run_id, g.*
    FROM held h,
         unnest($4::text[], $5::text[], $6::int[], $7::bool[], $8::text[], $9::text[], $10::text[], $11::text[], $12::bool[],
                $13::json[], $14::text[], $15::bool[]) AS g
    ON CONFLICT (run_id, path) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM nodes) AS added, CASE WHEN $16 THEN pg_notify($17, '') END FROM held

-- name: hold_of_gap
-- Nodes ($1) that a restored run has just opened, and that an engine had in the gap under one of these ids ($2): they may have run, so
-- that a person decides. What was asked once is not asked again.
WITH gap AS (
    INSERT INTO taskgate.recovered_task AS r (task_id, recovery_id, is_known, backend, state, held, epoch, group_id, task_type, found)
    SELECT DISTINCT ON (d.task_id) d.task_id, g.recovery_id, true, g.backend, d.state, d.held, g.epoch, d.group_id, d.task_type, g.found
    FROM unnest($1::text[], $2::text[]) AS opened (task_id, id_in_gap)
    JOIN taskgate.recovered_task g ON g.task_id = opened.id_in_gap AND NOT g.is_known
    JOIN taskgate.dispatch d ON d.task_id = opened.task_id
    ORDER BY d.task_id, g.epoch DESC
    ON CONFLICT (task_id) DO UPDATE
        SET is_known = true, verdict = 'undecided', state = excluded.state, held = excluded.held, decision = NULL, decided_at = NULL,
            decided_by = NULL, group_id = excluded.group_id, task_type = excluded.task_type
        WHERE NOT r.is_known
    RETURNING r.task_id
)
UPDATE taskgate.dispatch d
SET held = 'recovery', epoch = GREATEST(d.epoch, (SELECT max(epoch_floor) FROM taskgate.recovery))
FROM gap WHERE d.task_id = gap.task_id

-- name: set_timeouts
UPDATE taskgate.dispatch d SET timeout_seconds = t.seconds
FROM unnest($1::text[], $2::float8[]) AS t (task_id, seconds) WHERE d.task_id = t.task_id

-- name: reopen
-- Tasks of an earlier start of the run, wanted again. $3: what they wait for, if they are no handler's; $4: how long (seconds);
-- $5: their payloads, $6: the parameters of inner runs; null: as they were.
WITH wanted AS (
    UPDATE taskgate.dag_node n SET again = false, told = false, told_at = NULL, answer = NULL
    FROM unnest($2::text[], $3::text[], $4::float8[], $5::text[], $6::text[]) AS g (path, held, seconds, payload, params)
    WHERE n.run_id = $1 AND n.path = g.path AND n.again
    RETURNING n.task_id, g.held, g.seconds, g.payload, g.params
), over AS (
    SELECT d.task_id, w.held, w.seconds, w.payload, w.params
    FROM taskgate.dispatch d JOIN wanted w ON w.task_id = d.task_id
    WHERE d.state IN ('completed', 'failed', 'stopped')
    ORDER BY d.task_id FOR UPDATE OF d
), opened AS (
    UPDATE taskgate.dispatch d
    SET state = 'waiting', due_at = now(), not_before = now(), failures = 0, worker_id = NULL, owner_id = NULL, finished_at = NULL,
        claimed_at = NULL, queued_at = NULL, expires_at = now() + make_interval(secs => over.seconds), held = over.held,
        wanted_backend = NULL
    FROM over WHERE d.task_id = over.task_id
    RETURNING d.task_id, over.payload, over.params
), inner_runs AS (
    UPDATE taskgate.dag_run r SET params = o.params::json
    FROM opened o WHERE r.run_id = o.task_id AND o.params IS NOT NULL
)
UPDATE task_logs t
SET payload = COALESCE(o.payload::json, t.payload), status = 'PROCESSING', error_message = NULL, started_at = NULL, completed_at = NULL, stopped_at = NULL, worker_id = NULL,
    progress = 0, retry_count = t.retry_count + 1
FROM opened o WHERE t.id = o.task_id
RETURNING t.id AS task_id

-- name: refuse_again
-- A node of an earlier start whose input cannot be computed now.
UPDATE taskgate.dag_node SET again = false, told = true, told_at = now(), verdict = 'refused', reason = $3, decided_by = 'gateway'
WHERE run_id = $1 AND path = $2 AND again

-- name: failures
-- What went wrong in a run, the first of it.
SELECT n.path, COALESCE(CASE WHEN n.verdict = 'refused' THEN n.reason END, t.error_message) AS error
FROM taskgate.dag_node n
LEFT JOIN taskgate.dispatch d ON d.task_id = n.task_id
LEFT JOIN task_logs t ON t.id = n.task_id
WHERE n.run_id = $1 AND NOT n.again AND n.node <> ALL ($2::text[])
  AND n.verdict IS DISTINCT FROM 'bypassed'
  AND (n.verdict = 'refused' OR d.state IN ('failed', 'stopped'))
ORDER BY d.finished_at NULLS FIRST LIMIT 5

-- name: finish_run
WITH done AS (
    UPDATE taskgate.dispatch SET state = $2, finished_at = now(), owner_id = NULL
    WHERE task_id = $1 AND state || '' = 'running'
    RETURNING task_id, attempt
), log AS (
    UPDATE task_logs t
    SET status = upper($2), completed_at = now(), error_message = $3, result = COALESCE($4::json, t.result),
        progress = CASE WHEN $2 = 'completed' THEN 100 ELSE t.progress END
    FROM done WHERE t.id = done.task_id
)
UPDATE taskgate.attempt a SET ended_at = now(), outcome = $2, error = $3
FROM done WHERE a.task_id = done.task_id AND a.attempt = done.attempt

-- name: episode_of_run
-- The payload of a task `add_episode` whose run is over, and not completed.
SELECT t.payload::text FROM taskgate.dispatch d JOIN task_logs t ON t.id = d.task_id
WHERE d.task_id = $1 AND d.task_type = 'add_episode' AND d.state IN ('failed', 'stopped')

-- name: fail_memory
UPDATE memories SET processing_status = 'FAILED', updated_at = now() WHERE id = $1 AND processing_status <> 'FAILED'

-- name: stop_nodes
-- The open nodes of a run that is over; engines that may hold their starts are told, and workers that run them.
WITH open AS (
    SELECT d.task_id FROM taskgate.dispatch d JOIN taskgate.dag_node n ON n.task_id = d.task_id
    WHERE n.run_id = $1 AND d.state IN ('waiting', 'starting', 'queued', 'running')
    ORDER BY d.task_id FOR UPDATE OF d
), stopped AS (
    UPDATE taskgate.dispatch d
    SET cancel_epoch = CASE WHEN d.state IN ('starting', 'queued', 'running') THEN d.epoch ELSE d.cancel_epoch END,
        cancel_backend = CASE WHEN d.state IN ('starting', 'queued', 'running') THEN d.backend ELSE d.cancel_backend END,
        state = 'stopped', finished_at = now(), owner_id = NULL, held = NULL
    FROM open WHERE d.task_id = open.task_id
    RETURNING d.task_id, d.attempt
), log AS (
    UPDATE task_logs t
    SET status = 'FAILED', error_message = $2, completed_at = now(), stopped_at = now()
    FROM stopped s WHERE t.id = s.task_id
), history AS (
    UPDATE taskgate.attempt a SET ended_at = now(), outcome = 'stopped'
    FROM stopped s WHERE a.task_id = s.task_id AND a.attempt = s.attempt AND a.outcome IS NULL
)
SELECT s.task_id, pg_notify($3, s.task_id) FROM stopped s
