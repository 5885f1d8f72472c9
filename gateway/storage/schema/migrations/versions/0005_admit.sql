-- Who calls, and where a task belongs (contract §1, §4), for one key or user. Only the columns that §1 names are read.
--
-- A function rather than one statement: the planner would plan that anew for every request, which costs more than
-- everything else about it; the statements in here are planned once per connection.
--
-- The caller is the user of the key with this hash, or the user with this id. It belongs to the tenants of user_tenants and
-- to those it owns; the first of `tenant_ids` is its own tenant: one it owns if there is any, then the lowest id. (With
-- thousands of tenants an index on tenants.owner_id pays off.) Without a caller every column is NULL.
CREATE OR REPLACE FUNCTION taskgate.admit(
    asked_key_hash text, asked_user_id text, asked_project_id text, asked_tenant_id text,
    OUT key_id text, OUT key_is_active boolean, OUT key_has_expired boolean,
    OUT user_id text, OUT user_is_active boolean, OUT is_admin boolean, OUT tenant_ids text[],
    OUT project_is_known boolean, OUT project_tenant_id text, OUT project_role text,
    OUT tenant_is_known boolean, OUT tenant_id text, OUT plan text
) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    caller text;
    project_owner text;
BEGIN
    IF asked_key_hash IS NOT NULL THEN
        SELECT k.id, k.is_active, k.expires_at IS NOT NULL AND k.expires_at <= now(), u.id, u.is_active
        INTO key_id, key_is_active, key_has_expired, caller, user_is_active
        FROM api_keys k JOIN users u ON u.id = k.user_id
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
    tenant_ids := ARRAY(
        SELECT mine.id
        FROM (SELECT ut.tenant_id::text AS id, ut.role::text = 'owner' AS is_owner
              FROM user_tenants ut WHERE ut.user_id = caller
              UNION ALL
              SELECT t.id::text, true FROM tenants t WHERE t.owner_id = caller) AS mine
        GROUP BY mine.id
        ORDER BY bool_or(mine.is_owner) DESC, mine.id);

    project_is_known := false;
    IF asked_project_id IS NOT NULL THEN
        SELECT p.tenant_id, p.owner_id INTO project_tenant_id, project_owner FROM projects p WHERE p.id = asked_project_id;
        project_is_known := FOUND;
        IF project_owner = caller THEN
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
