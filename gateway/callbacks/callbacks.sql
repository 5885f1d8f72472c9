-- Callbacks: the outbox (written by a trigger, migration `callbacks`), and the secrets.

-- name: take_due
-- Deliveries whose time has come, for one gateway each: until `due_at` the attempt is this gateway's. $1 how many at most;
-- $2 tenants and $3 how many attempts each has under way here, $4 receivers and $5 theirs; $6, $7 most of one tenant, of one
-- receiver, so that a slow server delays nobody else. $8: seconds that an attempt may take.
WITH due AS (
    SELECT id, at_tenant + row_number() OVER (PARTITION BY tenant_id ORDER BY due_at) AS of_tenant,
           at_receiver + row_number() OVER (PARTITION BY receiver ORDER BY due_at) AS of_receiver
    FROM (SELECT d.id, d.tenant_id, d.receiver, d.due_at,
                 COALESCE(t.attempts, 0) AS at_tenant, COALESCE(r.attempts, 0) AS at_receiver
          FROM taskgate.delivery d
          LEFT JOIN unnest($2::text[], $3::int[]) AS t(tenant_id, attempts) ON t.tenant_id = COALESCE(d.tenant_id, '')
          LEFT JOIN unnest($4::text[], $5::int[]) AS r(receiver, attempts) ON r.receiver = d.receiver
          WHERE d.state = 'pending' AND d.due_at <= now()
            AND COALESCE(t.attempts, 0) < $6 AND COALESCE(r.attempts, 0) < $7
          ORDER BY d.due_at LIMIT 1000) AS first
), chosen AS (
    SELECT d.id FROM taskgate.delivery d
    JOIN due ON due.id = d.id
    WHERE due.of_tenant <= $6 AND due.of_receiver <= $7 AND d.state = 'pending' AND d.due_at <= now()
    ORDER BY d.due_at
    LIMIT $1
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE taskgate.delivery d
SET attempts = d.attempts + 1, tried_at = now(), due_at = now() + make_interval(secs => $8)
FROM chosen WHERE d.id = chosen.id
RETURNING d.id, d.task_id, d.tenant_id, d.event, d.receiver, d.url, d.body, d.attempts,
          (SELECT t.trace::text FROM taskgate.dispatch t WHERE t.task_id = d.task_id) AS trace

-- name: next_due
SELECT extract(epoch FROM min(due_at) - now())::float8 FROM taskgate.delivery WHERE state = 'pending'

-- name: valid_secrets
-- Of each tenant the current secret first, then those before it that are still valid.
SELECT tenant_id, secret FROM taskgate.webhook_secret
WHERE tenant_id = ANY ($1::text[]) AND (expires_at IS NULL OR expires_at > now())
ORDER BY id DESC

-- name: delivered
UPDATE taskgate.delivery SET state = 'delivered', status = $3, error = NULL, ended_at = now()
WHERE id = $1 AND attempts = $2 AND state = 'pending'

-- name: try_later
UPDATE taskgate.delivery SET status = $3, error = $4, due_at = now() + make_interval(secs => $5)
WHERE id = $1 AND attempts = $2 AND state = 'pending'

-- name: give_up
UPDATE taskgate.delivery SET state = 'dead', status = $3, error = $4, ended_at = now()
WHERE id = $1 AND attempts = $2 AND state = 'pending'

-- name: forget
DELETE FROM taskgate.delivery WHERE id IN (
    SELECT id FROM taskgate.delivery
    WHERE state = $1 AND ended_at < now() - make_interval(days => $2) LIMIT 10000)

-- name: forget_secrets
DELETE FROM taskgate.webhook_secret WHERE expires_at < now() - interval '30 days'

-- name: columns
d.id, d.task_id, d.tenant_id, d.event, d.url, d.state, d.attempts, d.created_at, d.tried_at, d.status, d.error, d.ended_at,
CASE WHEN d.state = 'pending' THEN d.due_at END AS due_at

-- name: list
SELECT /*columns*/ FROM taskgate.delivery d WHERE /*where*/ ORDER BY d.created_at DESC, d.id DESC LIMIT /*limit*/

-- name: get
SELECT /*columns*/, d.body, t.project_id
FROM taskgate.delivery d LEFT JOIN taskgate.dispatch t ON t.task_id = d.task_id
WHERE d.id = $1

-- name: where_tenants
d.tenant_id = ANY (:value::text[])

-- name: where_tenant
d.tenant_id = :value

-- name: where_task
d.task_id = :value

-- name: where_state
d.state = :value

-- name: where_event
d.event = :value

-- name: where_ended_before
d.ended_at < :value

-- name: where_beyond
(d.created_at, d.id) < (:value, :value)

-- name: now
SELECT clock_timestamp()

-- name: resend
-- From the start: as many attempts as at first.
UPDATE taskgate.delivery SET state = 'pending', attempts = 0, due_at = now(), error = NULL, status = NULL, ended_at = NULL
WHERE id = ANY ($1::text[]) AND state <> 'pending'
RETURNING id

-- name: is_tenant
SELECT true FROM tenants WHERE id = $1

-- name: lock_secrets
-- Rotations of one tenant come one after the other.
SELECT pg_advisory_xact_lock(hashtextextended('taskgate webhook ' || $1, 0))

-- name: retire_secrets
-- The current one is valid for $2 seconds yet, an older one until its own time. Without any seconds, all end now.
UPDATE taskgate.webhook_secret SET expires_at = now() + make_interval(secs => $2)
WHERE tenant_id = $1 AND (expires_at IS NULL OR expires_at > now() AND $2 = 0)

-- name: count_secrets
SELECT count(*) FROM taskgate.webhook_secret WHERE tenant_id = $1 AND (expires_at IS NULL OR expires_at > now())

-- name: add_secret
INSERT INTO taskgate.webhook_secret (tenant_id, secret, created_by) VALUES ($1, $2, $3) RETURNING created_at

-- name: list_secrets
SELECT id, created_at, created_by, expires_at FROM taskgate.webhook_secret
WHERE tenant_id = $1 AND (expires_at IS NULL OR expires_at > now()) ORDER BY id DESC

-- name: now_signed
-- Deliveries that waited for the first secret.
UPDATE taskgate.delivery SET due_at = now() WHERE tenant_id = $1 AND state = 'pending' AND error = $2 AND due_at > now()
