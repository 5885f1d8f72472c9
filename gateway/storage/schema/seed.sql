-- Demo tenants, each with a user, a key and a project; seeding again changes nothing but the key.

-- name: role
INSERT INTO roles (id, name) VALUES ('role-admin', 'admin') ON CONFLICT DO NOTHING

-- name: administrator
INSERT INTO user_roles (user_id, role_id) VALUES ('user-admin', 'role-admin') ON CONFLICT DO NOTHING

-- name: user_row
INSERT INTO users (id, email, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- name: key
INSERT INTO api_keys (id, key_hash, name, user_id, permissions) VALUES ($1, $2, 'demo', $3, '["read", "write", "admin"]')
ON CONFLICT (id) DO UPDATE SET key_hash = excluded.key_hash, permissions = excluded.permissions

-- name: tenant
INSERT INTO tenants (id, name, owner_id, plan) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING

-- name: tenant_owner
INSERT INTO user_tenants (user_id, tenant_id, role) VALUES ($1, $2, 'owner') ON CONFLICT DO NOTHING

-- name: project
INSERT INTO projects (id, tenant_id, name, owner_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING

-- name: project_owner
INSERT INTO user_projects (user_id, project_id, role) VALUES ($1, $2, 'owner') ON CONFLICT DO NOTHING
