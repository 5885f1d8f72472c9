-- What an engine has to be told, until it has answered; any gateway goes on where another one stopped.
CREATE TABLE taskgate.engine_duty (
    duty_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('requeue', 'release', 'cancel')),
    backend     text NOT NULL,
    subject     text NOT NULL,                      -- a task; of `release` a lost worker
    epoch       integer NOT NULL DEFAULT 0,         -- the start that is meant
    attempt     integer NOT NULL DEFAULT 0,         -- requeue: the run that was lost
    worker_id   text,                               -- requeue: whose run that was
    group_id    text NOT NULL DEFAULT '',
    task_type   text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    due_at      timestamptz NOT NULL DEFAULT now(), -- when the engine is told next
    failures    integer NOT NULL DEFAULT 0,         -- tries to which the engine, being there, gave no answer
    UNIQUE (subject, kind, epoch, attempt, backend)
);
CREATE INDEX engine_duty_due ON taskgate.engine_duty (backend, kind, due_at);
CREATE INDEX engine_duty_worker ON taskgate.engine_duty (worker_id) WHERE kind = 'requeue';

-- Many statements stop or recall starts: each says so in `cancel_epoch`, and this writes the duty beside it. A cancel that
-- another one displaces there before its engine was told stays a duty.
CREATE FUNCTION taskgate.owe_cancel() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO taskgate.engine_duty (kind, backend, subject, epoch, group_id, task_type)
    VALUES ('cancel', NEW.cancel_backend, NEW.task_id, NEW.cancel_epoch, NEW.group_id, NEW.task_type)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER owe_cancel AFTER UPDATE OF cancel_epoch, cancel_backend ON taskgate.dispatch
FOR EACH ROW WHEN (NEW.cancel_epoch IS NOT NULL AND NEW.cancel_backend IS NOT NULL
                   AND (NEW.cancel_epoch, NEW.cancel_backend) IS DISTINCT FROM (OLD.cancel_epoch, OLD.cancel_backend))
EXECUTE FUNCTION taskgate.owe_cancel();
CREATE TRIGGER owe_cancel_of_new AFTER INSERT ON taskgate.dispatch
FOR EACH ROW WHEN (NEW.cancel_epoch IS NOT NULL AND NEW.cancel_backend IS NOT NULL)
EXECUTE FUNCTION taskgate.owe_cancel();

INSERT INTO taskgate.engine_duty (kind, backend, subject, epoch, group_id, task_type)
SELECT 'cancel', cancel_backend, task_id, cancel_epoch, group_id, task_type FROM taskgate.dispatch
WHERE cancel_epoch IS NOT NULL AND cancel_backend IS NOT NULL;
DROP INDEX taskgate.dispatch_cancel;

-- The gateway that leads: each time that one begins to, the term is the next number. One row.
CREATE TABLE taskgate.leadership (
    is_only     boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    term        bigint NOT NULL,
    holder      text NOT NULL,
    began_at    timestamptz NOT NULL DEFAULT now()
);

-- The memory of an engine as it was seen last. While what it should hold is compared after a loss, `after_group` and
-- `after_task` say how far that has come; null: nothing is left to compare.
CREATE TABLE taskgate.engine_memory (
    backend     text PRIMARY KEY,
    incarnation text NOT NULL,
    seen_at     timestamptz NOT NULL DEFAULT now(),
    after_group text,
    after_task  text
);

-- The run ended because its worker was lost, which is counted; what a worker handed back is `lost`, too.
ALTER TABLE taskgate.attempt ADD COLUMN worker_lost boolean NOT NULL DEFAULT false;
UPDATE taskgate.attempt a SET worker_lost = true
FROM taskgate.dispatch d
WHERE d.task_id = a.task_id AND d.state IN ('waiting', 'starting', 'queued', 'running') AND a.error = 'its worker was lost';
