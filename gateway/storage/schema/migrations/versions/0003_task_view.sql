-- How a row of `task_logs` is seen: its status, and whose it is. Functions, not a view: a view would stand in the way of
-- MemStack's own migrations of its table.

-- The status that readers are shown. A reserved row (ADR 1: PROCESSING, nobody has started it) waits.
CREATE OR REPLACE FUNCTION taskgate.shown_status(status text, started_at timestamptz, worker_id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN status = 'PROCESSING' AND started_at IS NULL AND worker_id IS NULL THEN 'PENDING'
                ELSE COALESCE(status, 'PENDING') END
$$;

-- A member of a payload that is a non-empty string, else NULL. The payload may be any JSON: what PostgreSQL stores but
-- cannot unescape (\u0000, lone surrogates) is taken out first. Never raises: an index of `task_logs` depends on it, and
-- an error would make a legacy INSERT fail. An escaped backslash is matched first, so that `\\u0000` stays what it is.
-- The cost tells the planner that reading the index is cheaper than asking the function.
CREATE OR REPLACE FUNCTION taskgate.payload_member(payload text, member text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 5000 AS $$
DECLARE
    value json;
BEGIN
    IF payload IS NULL OR payload !~ '^\s*\{' OR strpos(payload, member) = 0 THEN
        RETURN NULL;
    END IF;
    IF strpos(payload, '\u0000') > 0 OR strpos(payload, '\ud') > 0 OR strpos(payload, '\uD') > 0 THEN
        payload := regexp_replace(payload, '(\\\\)|\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\1', 'g');
    END IF;
    value := payload::json -> member;
    IF json_typeof(value) = 'string' THEN
        RETURN NULLIF(value #>> '{}', '');
    END IF;
    RETURN NULL;
END
$$;

-- An index key that stays short whatever the id is.
CREATE OR REPLACE FUNCTION taskgate.owner_key(kind text, id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT kind || CASE WHEN length(id) <= 100 THEN id ELSE left(id, 60) || '#' || md5(id) END
$$;

-- What names the owner of a row without a dispatch row (contract §4, last paragraph): `t:` a tenant, `p:` a project, `g:`
-- a group that may be a project.
CREATE OR REPLACE FUNCTION taskgate.legacy_owner_key(payload text, group_id text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
DECLARE
    id text;
BEGIN
    id := taskgate.payload_member(payload, 'tenant_id');
    IF id IS NOT NULL THEN
        RETURN taskgate.owner_key('t:', id);
    END IF;
    id := taskgate.payload_member(payload, 'project_id');
    IF id IS NOT NULL THEN
        RETURN taskgate.owner_key('p:', id);
    END IF;
    RETURN taskgate.owner_key('g:', group_id);
END
$$;

-- The tenant of a row without a dispatch row; NULL: nobody, only administrators see it.
CREATE OR REPLACE FUNCTION taskgate.legacy_tenant(payload text, group_id text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT COALESCE(
        taskgate.payload_member(payload, 'tenant_id'),
        (SELECT p.tenant_id FROM projects p WHERE p.id = taskgate.payload_member(payload, 'project_id')),
        (SELECT p.tenant_id FROM projects p WHERE p.id = group_id))
$$;

-- The keys under which rows of these tenants are found. A row whose payload names a project that does not exist is found
-- by its id only.
CREATE OR REPLACE FUNCTION taskgate.owner_keys(tenants text[]) RETURNS SETOF text
LANGUAGE sql STABLE ROWS 20 AS $$
    SELECT taskgate.owner_key('t:', tenant) FROM unnest(tenants) AS tenant
    UNION ALL
    SELECT taskgate.owner_key(kind, p.id) FROM projects p, (VALUES ('p:'), ('g:')) AS kinds (kind)
    WHERE p.tenant_id = ANY (tenants)
$$;
