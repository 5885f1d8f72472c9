-- What MemStack's `api_keys` has no columns for. Keys without a row, or without a scope, are held to the rules of that table alone.
CREATE TABLE taskgate.api_key (
    key_id      text PRIMARY KEY,                 -- api_keys.id
    scope       text CHECK (scope IN ('read', 'submit', 'operate', 'admin')),
    tenant_id   text,                             -- it is for this tenant only
    project_id  text,                             -- and in there for this project only
    per_minute  integer CHECK (per_minute > 0),   -- requests, at each gateway; NULL: no limit
    replaces    text,                             -- the key that it was made for, by a rotation
    replaced_by text,                             -- the key that follows it
    created_by  text,
    revoked_by  text,
    revoked_at  timestamptz,
    CHECK (project_id IS NULL OR tenant_id IS NOT NULL)
);
CREATE INDEX api_key_tenant ON taskgate.api_key (tenant_id);

-- From where keys are used: of each key the newest addresses.
CREATE TABLE taskgate.key_address (
    key_id      text NOT NULL,
    address     text NOT NULL,
    last_at     timestamptz NOT NULL,
    PRIMARY KEY (key_id, address)
);

-- Who calls, and where a task belongs (contract §1, §4), for one key or user. Only the columns that §1 names are read.
--
-- A function rather than one statement: the planner would plan that anew for every request, which costs more than
-- everything else about it; the statements in here are planned once per connection.
--
-- The caller is the user of the key with this hash, or the user with this id. It belongs to the tenants of user_tenants and
-- to those it owns; the first of `tenant_ids` is its own tenant: one it owns if there is any, then the lowest id. (With
-- thousands of tenants an index on tenants.owner_id pays off.) Without a caller every column is NULL.
--
-- A key may be for one tenant only (taskgate.api_key): then that is the caller's only one, and an administrator is its owner
-- and no administrator.
--
-- `tenant_roles` go with `tenant_ids`; the three arrays about projects go together, for those where the caller has a role.
DROP FUNCTION taskgate.admit(text, text, text, text);
CREATE FUNCTION taskgate.admit(
    asked_key_hash text, asked_user_id text, asked_project_id text, asked_tenant_id text,
    OUT key_id text, OUT key_is_active boolean, OUT key_has_expired boolean, OUT key_permissions text,
    OUT user_id text, OUT user_is_active boolean, OUT is_admin boolean, OUT tenant_ids text[],
    OUT project_is_known boolean, OUT project_tenant_id text, OUT project_role text,
    OUT tenant_is_known boolean, OUT tenant_id text, OUT plan text,
    OUT tenant_roles text[], OUT project_ids text[], OUT project_tenants text[], OUT project_roles text[],
    OUT key_scope text, OUT key_tenant_id text, OUT key_project_id text, OUT key_per_minute integer
) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    caller text;
    project_owner text;
BEGIN
    IF asked_key_hash IS NOT NULL THEN
        SELECT k.id, k.is_active, k.expires_at IS NOT NULL AND k.expires_at <= now(), k.permissions::text, u.id, u.is_active,
               e.scope, e.tenant_id, e.project_id, e.per_minute
        INTO key_id, key_is_active, key_has_expired, key_permissions, caller, user_is_active,
             key_scope, key_tenant_id, key_project_id, key_per_minute
        FROM api_keys k JOIN users u ON u.id = k.user_id LEFT JOIN taskgate.api_key e ON e.key_id = k.id
        WHERE k.key_hash = asked_key_hash;
    ELSE
        SELECT u.id, u.is_active INTO caller, user_is_active FROM users u WHERE u.id = asked_user_id;
    END IF;
    IF caller IS NULL THEN
        RETURN;
    END IF;
    user_id := caller;
    is_admin := EXISTS (SELECT 1 FROM user_roles ur JOIN roles r ON r.id = ur.role_id
                        WHERE ur.user_id = caller AND r.name = 'admin');
    SELECT COALESCE(array_agg(one.id ORDER BY one.is_owner DESC, one.id), '{}'),
           COALESCE(array_agg(one.role ORDER BY one.is_owner DESC, one.id), '{}')
    INTO tenant_ids, tenant_roles
    FROM (SELECT mine.id, bool_or(mine.role = 'owner') IS TRUE AS is_owner,
                 (array_agg(mine.role ORDER BY array_position('{owner,admin,member,guest}'::text[], mine.role)))[1] AS role
          FROM (SELECT ut.tenant_id::text AS id, ut.role::text AS role FROM user_tenants ut WHERE ut.user_id = caller
                UNION ALL
                SELECT t.id::text, 'owner' FROM tenants t WHERE t.owner_id = caller) AS mine
          GROUP BY mine.id) AS one;
    SELECT array_agg(up.project_id::text), array_agg(p.tenant_id::text), array_agg(up.role::text)
    INTO project_ids, project_tenants, project_roles
    FROM user_projects up JOIN projects p ON p.id = up.project_id
    WHERE up.user_id = caller;
    IF key_tenant_id IS NOT NULL THEN
        -- Apart, because few keys are for one tenant, and every further join above would cost all of them.
        SELECT COALESCE(array_agg(key_tenant_id), '{}'), COALESCE(array_agg(mine.role), '{}')
        INTO tenant_ids, tenant_roles
        FROM (SELECT 'owner' AS role FROM tenants t WHERE is_admin AND t.id = key_tenant_id
              UNION ALL
              SELECT tenant_roles[array_position(tenant_ids, key_tenant_id)]
              WHERE NOT is_admin AND key_tenant_id = ANY (tenant_ids)) AS mine;
        SELECT array_agg(one.id), array_agg(one.tenant), array_agg(one.role)
        INTO project_ids, project_tenants, project_roles
        FROM unnest(project_ids, project_tenants, project_roles) AS one (id, tenant, role)
        WHERE one.tenant = key_tenant_id;
        is_admin := false;
    END IF;

    project_is_known := false;
    IF asked_project_id IS NOT NULL THEN
        SELECT p.tenant_id, p.owner_id INTO project_tenant_id, project_owner FROM projects p WHERE p.id = asked_project_id;
        project_is_known := FOUND;
        IF key_tenant_id IS NOT NULL AND project_tenant_id IS DISTINCT FROM key_tenant_id THEN
            project_role := NULL;
        ELSIF project_owner = caller THEN
            project_role := 'owner';
        ELSE
            SELECT up.role::text INTO project_role
            FROM user_projects up WHERE up.user_id = caller AND up.project_id = asked_project_id;
        END IF;
    END IF;

    tenant_is_known := asked_tenant_id IS NOT NULL AND EXISTS (SELECT 1 FROM tenants t WHERE t.id = asked_tenant_id);
    SELECT t.id, t.plan::text INTO tenant_id, plan
    FROM tenants t WHERE t.id = COALESCE(project_tenant_id, asked_tenant_id, tenant_ids[1]);
END
$$;
