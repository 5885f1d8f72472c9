-- Tasks in the gateway's care by any of their properties: one statement, put together by task_selection.py. Blocks named
-- `where_…` are conditions on the dispatch row `d`; in them `:value` is the parameter.
--
-- A caller's tasks are read tenant by tenant and phase by phase, each down an index in the order of
-- the list and cut to the page, so that a page costs the same however many tasks there are.

-- name: page
SELECT /*columns*/
FROM (/*found*/) AS found
JOIN taskgate.dispatch d ON d.task_id = found.task_id
JOIN task_logs t ON t.id = d.task_id
ORDER BY d.created_at DESC, d.task_id DESC

-- name: ids
SELECT found.task_id, found.created_at FROM (/*found*/) AS found ORDER BY found.created_at DESC, found.task_id DESC

-- name: of_tenants
SELECT c.task_id, c.created_at
FROM unnest(:tenants) AS tenant (id)
/*phases*/
CROSS JOIN LATERAL (
    SELECT d.task_id, d.created_at
    FROM taskgate.dispatch d
    WHERE d.tenant_id = tenant.id AND /*where*/ AND /*beyond*/
    ORDER BY d.created_at DESC, d.task_id DESC
    LIMIT :limit
) AS c
ORDER BY c.created_at DESC, c.task_id DESC
LIMIT :limit

-- name: of_tenants_and_type
-- Of one type, in any state: of the ended ones, which are many, types have an index.
SELECT c.task_id, c.created_at
FROM unnest(:tenants) AS tenant (id)
CROSS JOIN LATERAL (
    (SELECT d.task_id, d.created_at FROM taskgate.dispatch d
     WHERE d.tenant_id = tenant.id AND d.phase = 'waiting' AND /*where*/ AND /*beyond*/
     ORDER BY d.created_at DESC, d.task_id DESC LIMIT :limit)
    UNION ALL
    (SELECT d.task_id, d.created_at FROM taskgate.dispatch d
     WHERE d.tenant_id = tenant.id AND d.phase = 'open' AND /*where*/ AND /*beyond*/
     ORDER BY d.created_at DESC, d.task_id DESC LIMIT :limit)
    UNION ALL
    (SELECT d.task_id, d.created_at FROM taskgate.dispatch d
     WHERE d.tenant_id = tenant.id AND d.phase IN ('completed', 'failed', 'stopped') AND /*where*/ AND /*beyond*/
     ORDER BY d.created_at DESC, d.task_id DESC LIMIT :limit)
) AS c
ORDER BY c.created_at DESC, c.task_id DESC
LIMIT :limit

-- name: of_all
-- For administrators. By the rows of `task_logs`, as old as the dispatch rows: there is no
-- index for it on `dispatch`, because PostgreSQL would prefer it and walk over the tasks of all tenants.
-- Each part is cut to the page.
SELECT c.task_id, c.created_at FROM (/*parts*/) AS c ORDER BY c.created_at DESC, c.task_id DESC LIMIT :limit

-- name: part_of_all
(SELECT d.task_id, t.created_at
 FROM task_logs t
 JOIN taskgate.dispatch d ON d.task_id = t.id
 WHERE /*part*/ AND /*where*/ AND /*beyond*/
 ORDER BY t.created_at DESC, t.id DESC
 LIMIT :limit)

-- name: part_in_order
-- Of these states alone. OFFSET 0 keeps the steps in this order: down the index, each row followed to its task, until the page
-- is full. Of a state that few tasks are in the planner would rather read all of `dispatch`.
(SELECT d.task_id, t.created_at
 FROM task_logs t
 CROSS JOIN LATERAL (SELECT d.task_id FROM taskgate.dispatch d WHERE d.task_id = t.id AND /*where*/ OFFSET 0) AS d
 WHERE /*part*/ AND /*beyond*/
 ORDER BY t.created_at DESC, t.id DESC
 LIMIT :limit)

-- name: count_of_tenants
SELECT count(*) FROM taskgate.dispatch d WHERE d.tenant_id = ANY (:tenants) AND /*where*/

-- name: count_of_all
SELECT count(*) FROM taskgate.dispatch d WHERE /*where*/

-- name: each_phase
CROSS JOIN unnest(:value) AS wanted (phase)

-- name: where_wanted_phase
d.phase = wanted.phase

-- name: where_states
d.state = ANY (:value)

-- name: where_running
-- Few run, of however many that engines have.
d.task_id = ANY (ARRAY(SELECT r.task_id FROM taskgate.attempt r WHERE NOT r.is_counted AND r.outcome IS NULL))

-- name: where_phases
d.phase = ANY (:value)

-- name: where_types
d.task_type = ANY (:value)

-- name: where_type
-- The first half is in the form of the index.
left(d.task_type, 200) = left(:value, 200) AND d.task_type = :value

-- name: where_backends
d.backend = ANY (:value)

-- name: where_stages
d.stage = ANY (:value)

-- name: where_priorities
d.priority = ANY (:value)

-- name: where_project
d.project_id = :value

-- name: where_group
d.group_id = :value

-- name: where_user
d.user_id = :value

-- name: where_labels
d.labels IS NOT NULL AND d.labels @> :value

-- name: where_created_after
d.created_at >= :value

-- name: where_created_before
d.created_at < :value

-- name: where_finished_after
d.finished_at >= :value

-- name: where_finished_before
d.finished_at < :value

-- name: where_entity
-- The few tasks of an entity first, then what else is asked of them.
d.task_id = ANY (ARRAY(SELECT e.id FROM task_logs e WHERE e.entity_id = :value))

-- name: where_parent
d.task_id = ANY (ARRAY(SELECT p.id FROM task_logs p WHERE p.parent_task_id = :value))

-- name: where_ids
d.task_id = ANY (:value)

-- name: where_unique_key
d.unique_key = :value

-- name: where_schedule
d.schedule_id = :value

-- name: where_dag_run
d.dag_run_id = :value

-- name: where_worker
d.worker_id = :value

-- name: where_held
d.held = :value

-- name: where_error
EXISTS (SELECT 1 FROM task_logs x WHERE x.id = d.task_id AND x.error_message ILIKE :value)

-- name: where_after
(d.created_at, d.task_id) < (:at, :id)

-- name: where_after_of_all
(t.created_at, t.id) < (:at, :id)
