-- What the engines did, run by run and summed up, to compare them (docs/parity.md). Times are the database's.

-- Runs that ended before there was a count stay out of it; the default for new rows says that they are to be counted.
ALTER TABLE taskgate.attempt ADD COLUMN is_counted boolean NOT NULL DEFAULT true;
ALTER TABLE taskgate.attempt ALTER COLUMN is_counted SET DEFAULT false;

-- Tasks that failed for good, until they are counted. A death may have no run: refused by the engine, expired, ended elsewhere.
CREATE TABLE taskgate.uncounted_death (
    death_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id     text NOT NULL,
    attempt     integer NOT NULL,
    tenant_id   text,
    task_type   text NOT NULL,
    backend     text NOT NULL,
    at          timestamptz NOT NULL
);

CREATE FUNCTION taskgate.note_death() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO taskgate.uncounted_death (task_id, attempt, tenant_id, task_type, backend, at)
    SELECT d.task_id, d.attempt, d.tenant_id, d.task_type, d.backend, NEW.died_at
    FROM taskgate.dispatch d WHERE d.task_id = NEW.id AND d.backend IS NOT NULL AND d.dag_run_id IS NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_death AFTER INSERT ON taskgate.dead_letter
FOR EACH ROW WHEN (NEW.kind = 'task' AND NEW.state = 'open') EXECUTE FUNCTION taskgate.note_death();
CREATE TRIGGER note_death_again AFTER UPDATE OF died_at ON taskgate.dead_letter
FOR EACH ROW WHEN (NEW.kind = 'task' AND NEW.state = 'open' AND NEW.died_at IS DISTINCT FROM OLD.died_at)
EXECUTE FUNCTION taskgate.note_death();

-- One row per counted run or death, in the order of counting; no row is put in between later. A yes/no question that it does not
-- answer is NULL. `run_seconds`, `total_seconds`: of completed runs; `wait_seconds`, `late_seconds`: of first runs.
CREATE TABLE taskgate.outcome (
    position      bigint PRIMARY KEY,
    at            timestamptz NOT NULL,               -- when it ended
    counted_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    task_id       text NOT NULL,
    attempt       integer NOT NULL,
    tenant_id     text,
    task_type     text NOT NULL,
    backend       text NOT NULL,
    failed        boolean,                            -- of the task's first run to complete or fail: did it fail?
    retried       boolean,                            -- of a task that is over: did a run fail before the last one?
    dead          boolean,                            -- of a task that is over: did it fail for good?
    worker_lost   boolean NOT NULL,
    run_seconds   real,
    wait_seconds  real,
    total_seconds real,
    late_seconds  real
);
CREATE SEQUENCE taskgate.outcome_position OWNED BY taskgate.outcome.position;
CREATE INDEX outcome_tenant ON taskgate.outcome (tenant_id, position);

-- The same, summed up by tenant, task type, engine and minute; with `is_everybody` of all tenants together (tenant_id ''; a task
-- without a tenant has that, too). Histograms: element b + 1 counts durations of bucket b (`taskgate.log_bucket`).
CREATE TABLE taskgate.outcome_slice (
    is_everybody boolean NOT NULL,
    tenant_id    text NOT NULL,
    task_type    text NOT NULL,
    backend      text NOT NULL,
    slice_at     timestamptz NOT NULL,
    ended        bigint NOT NULL,                     -- runs
    lost         bigint NOT NULL,                     -- runs whose worker was lost
    first        bigint NOT NULL,                     -- answers to `failed`, and those that say yes
    failed       bigint NOT NULL,
    over         bigint NOT NULL,                     -- answers to `retried` and `dead`, and those that say yes
    retried      bigint NOT NULL,
    dead         bigint NOT NULL,
    attempts     bigint NOT NULL,                     -- of tasks that are over
    run          integer[] NOT NULL,
    wait         integer[] NOT NULL,
    total        integer[] NOT NULL,
    late         integer[] NOT NULL,
    PRIMARY KEY (is_everybody, tenant_id, slice_at, task_type, backend)
) WITH (fillfactor = 70);
CREATE INDEX outcome_slice_age ON taskgate.outcome_slice (slice_at);

-- Four buckets for each doubling, from a millisecond (0) to a day and a half (107).
CREATE FUNCTION taskgate.log_bucket(seconds double precision) RETURNS smallint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT LEAST(floor(4 * ln(GREATEST(seconds * 1000, 1)) / ln(2.0::float8)), 107)::smallint
$$;

CREATE FUNCTION taskgate.count_bucket(histogram integer[], bucket smallint) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    FOR missing IN COALESCE(array_length(histogram, 1), 0) + 1 .. bucket + 1 LOOP
        histogram[missing] := 0;
    END LOOP;
    histogram[bucket + 1] := histogram[bucket + 1] + 1;
    RETURN histogram;
END
$$;
CREATE AGGREGATE taskgate.histogram(smallint) (sfunc = taskgate.count_bucket, stype = integer[], initcond = '{}');

CREATE FUNCTION taskgate.add_histograms(one integer[], other integer[]) RETURNS integer[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT COALESCE(array_agg(COALESCE(o, 0) + COALESCE(t, 0) ORDER BY n), '{}')
    FROM unnest(one, other) WITH ORDINALITY AS both_of (o, t, n)
$$;
