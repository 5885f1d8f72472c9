-- The entry that this one takes back, because its change was not made after all; NULL: none. Not part of the hash: the text says it as well.
ALTER TABLE taskgate.ledger ADD COLUMN undoes bigint;

-- Entries of releases that do not write it say so in their reason. They name the newest entry before them whose mirror they are.
CREATE FUNCTION taskgate.undone_by(one taskgate.ledger) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT e.id FROM taskgate.ledger e
    WHERE one.kind = 'flip' AND one.source <> 'override' AND starts_with(one.why, 'not made: ')
      AND e.scope = one.scope AND e.id < one.id AND e.kind = 'flip' AND e.source = one.source AND e.version = one.version
      AND e.undoes IS NULL AND e.before IS NOT DISTINCT FROM one.after AND e.after IS NOT DISTINCT FROM one.before
    ORDER BY e.id DESC LIMIT 1
$$;

-- In order: of two that take back the same change, each names its own.
DO $$
DECLARE
    one taskgate.ledger;
BEGIN
    FOR one IN SELECT * FROM taskgate.ledger WHERE starts_with(why, 'not made: ') ORDER BY id LOOP
        UPDATE taskgate.ledger SET undoes = taskgate.undone_by(one) WHERE id = one.id;
    END LOOP;
END
$$;

-- Until no gateway of the release before runs any more; then this goes.
CREATE FUNCTION taskgate.note_undone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.undoes := taskgate.undone_by(NEW);
    RETURN NEW;
END
$$;
CREATE TRIGGER note_undone BEFORE INSERT ON taskgate.ledger
FOR EACH ROW WHEN (NEW.undoes IS NULL AND starts_with(NEW.why, 'not made: ')) EXECUTE FUNCTION taskgate.note_undone();
