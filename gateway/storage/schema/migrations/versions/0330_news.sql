-- Tells which kind of thing has changed (`gateway.news`): no content. On administrative tables alone, so that a task costs nothing more.

-- Every administrative change has its entry, and whoever wants to know reads what it is about.
CREATE FUNCTION taskgate.tell_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('taskgate_news', json_build_object('entry', NEW.id)::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_entry AFTER INSERT ON taskgate.ledger
FOR EACH ROW EXECUTE FUNCTION taskgate.tell_entry();

-- What changes without an entry. The argument is the topic; equal notifications of one transaction are one.
CREATE FUNCTION taskgate.tell_topic() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('taskgate_news', json_build_object('topic', TG_ARGV[0])::text);
    RETURN NULL;
END
$$;

-- A process came, ended or was lost; a renewal of its lease is no news.
CREATE TRIGGER tell_process_came AFTER INSERT ON taskgate.process
FOR EACH ROW EXECUTE FUNCTION taskgate.tell_topic('worker');
CREATE TRIGGER tell_process_left AFTER UPDATE OF renewed_at, lost_at ON taskgate.process
FOR EACH ROW WHEN (OLD.lost_at IS DISTINCT FROM NEW.lost_at
                   OR (OLD.renewed_at = '-infinity') <> (NEW.renewed_at = '-infinity'))
EXECUTE FUNCTION taskgate.tell_topic('worker');

CREATE TRIGGER tell_plan AFTER INSERT OR UPDATE OR DELETE ON taskgate.plan
FOR EACH ROW EXECUTE FUNCTION taskgate.tell_topic('plan');
CREATE TRIGGER tell_plan_tenant AFTER INSERT OR UPDATE OR DELETE ON taskgate.plan_tenant
FOR EACH ROW EXECUTE FUNCTION taskgate.tell_topic('plan');

-- How far an operation is, once for each chunk of its tasks.
CREATE FUNCTION taskgate.tell_operation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('taskgate_news', json_build_object('topic', 'operation', 'user', NEW.user_id, 'tenant', t)::text)
    FROM unnest(COALESCE(NULLIF(NEW.tenant_ids, '{}'), ARRAY[NULL])) AS t;
    RETURN NULL;
END
$$;
CREATE TRIGGER tell_operation AFTER UPDATE OF done, skipped, failed, state ON taskgate.operation
FOR EACH ROW WHEN ((OLD.done, OLD.skipped, OLD.failed, OLD.state) IS DISTINCT FROM (NEW.done, NEW.skipped, NEW.failed, NEW.state))
EXECUTE FUNCTION taskgate.tell_operation();
