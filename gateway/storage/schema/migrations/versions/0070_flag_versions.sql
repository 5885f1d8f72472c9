-- The flag's data as LaunchDarkly writes it ({"flags": …, "segments": …}), whole in each version. The newest version that is valid
-- is in force. Rows are added, never changed: what gateways write names the version that it was based on.
CREATE TABLE taskgate.flag_version (
    version     bigint PRIMARY KEY,
    based_on    bigint NOT NULL,
    document    jsonb NOT NULL,
    what        text NOT NULL,
    before      text NOT NULL,
    after       text NOT NULL,
    who         text NOT NULL,
    why         text NOT NULL,
    at          timestamptz NOT NULL DEFAULT now()
);

-- A trigger, so that what somebody does by hand is announced, too.
CREATE FUNCTION taskgate.tell_flag_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('taskgate_flags', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER tell_flag_changed AFTER INSERT OR UPDATE OR DELETE ON taskgate.flag_version
FOR EACH STATEMENT EXECUTE FUNCTION taskgate.tell_flag_changed();

-- Who changes an override names the version that it has seen.
CREATE SEQUENCE taskgate.override_version;
ALTER TABLE taskgate.route_override ADD COLUMN version bigint NOT NULL DEFAULT nextval('taskgate.override_version');
