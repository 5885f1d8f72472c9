-- Callbacks: who signs, and what is to be sent.

-- What a tenant's callbacks are signed with. The current secret has no end; the one before it is valid until its own.
CREATE TABLE taskgate.webhook_secret (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   text NOT NULL,
    secret      text NOT NULL,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz
);
CREATE UNIQUE INDEX webhook_secret_current ON taskgate.webhook_secret (tenant_id) WHERE expires_at IS NULL;
CREATE INDEX webhook_secret_tenant ON taskgate.webhook_secret (tenant_id, id DESC);

-- One row per end of a task that somebody wants to hear of. `body` is sent as it stands here, byte by byte.
CREATE TABLE taskgate.delivery (
    id          text PRIMARY KEY,           -- the `webhook-id`: the same in every attempt
    task_id     text NOT NULL,
    tenant_id   text,
    event       text NOT NULL,
    url         text NOT NULL,
    receiver    text NOT NULL,              -- scheme, host and port of the URL
    body        text NOT NULL,
    state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts    integer NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL DEFAULT now(),  -- while an attempt is under way: when another gateway may repeat it
    created_at  timestamptz NOT NULL DEFAULT now(),
    tried_at    timestamptz,
    status      integer,                    -- HTTP status of the last answer
    error       text,                       -- why the last attempt failed
    ended_at    timestamptz
);
CREATE INDEX delivery_due ON taskgate.delivery (due_at) WHERE state = 'pending';
CREATE INDEX delivery_age ON taskgate.delivery (created_at DESC, id DESC);
CREATE INDEX delivery_tenant ON taskgate.delivery (tenant_id, created_at DESC, id DESC);
CREATE INDEX delivery_task ON taskgate.delivery (task_id);
CREATE INDEX delivery_ended ON taskgate.delivery (ended_at) WHERE state <> 'pending';

-- A time as JSON spells it, in UTC whatever the session's zone.
CREATE FUNCTION taskgate.iso_time(at timestamptz) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT (to_json(at AT TIME ZONE 'UTC') #>> '{}') || 'Z'
$$;

-- Writes the outbox in the transaction that ends the task, whichever statement does. It runs at the transaction's end, so
-- it sees the row of `task_logs` as that is left. The result is text of JSON that PostgreSQL need not understand.
CREATE FUNCTION taskgate.write_delivery() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    url text := NEW.callback ->> 'url';
    log record;
    result_fits boolean;
BEGIN
    IF url IS NULL OR (jsonb_typeof(NEW.callback -> 'events') = 'array' AND NOT NEW.callback -> 'events' ? NEW.state) THEN
        RETURN NULL;
    END IF;
    SELECT t.started_at, t.completed_at, t.error_message, t.message, t.result INTO log
    FROM (SELECT 1) AS one LEFT JOIN task_logs t ON t.id = NEW.task_id;
    result_fits := log.result IS NULL OR octet_length(log.result::text) <= 65536;
    INSERT INTO taskgate.delivery (id, task_id, tenant_id, event, url, receiver, body)
    VALUES ('msg_' || replace(gen_random_uuid()::text, '-', ''), NEW.task_id, NEW.tenant_id, NEW.state, url,
            left(lower(COALESCE(substring(url FROM '^[A-Za-z]+://[^/?#]+'), url)), 300),
            json_build_object(
                'type', 'task.' || NEW.state,
                'timestamp', taskgate.iso_time(COALESCE(NEW.finished_at, now())),
                'data', json_build_object(
                    'task_id', NEW.task_id, 'type', NEW.task_type, 'status', NEW.state, 'tenant_id', NEW.tenant_id,
                    'project_id', NEW.project_id, 'labels', NEW.labels, 'attempts', NEW.attempt,
                    'created_at', taskgate.iso_time(NEW.created_at),
                    'started_at', taskgate.iso_time(log.started_at),
                    'finished_at', taskgate.iso_time(COALESCE(NEW.finished_at, now())),
                    'error', left(CASE WHEN NEW.state <> 'completed' THEN log.error_message END, 4096),
                    'message', left(log.message, 4096),
                    'result', CASE WHEN result_fits THEN log.result END, 'result_omitted', NOT result_fits))::text);
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER write_delivery AFTER UPDATE OF state ON taskgate.dispatch
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.callback IS NOT NULL AND OLD.state IS DISTINCT FROM NEW.state
                   AND NEW.state IN ('completed', 'failed', 'stopped'))
EXECUTE FUNCTION taskgate.write_delivery();
