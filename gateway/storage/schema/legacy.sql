-- The tables that MemStack already has (contract §1, §6, §7), for the embedded stack and for tests only.
-- An existing MemStack database is never touched by this file: every statement is IF NOT EXISTS.
-- All ids are strings; text that MemStack keeps as an enum is varchar here, as there.

-- §1: who may do what ------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS users (
    id          varchar PRIMARY KEY,
    email       varchar NOT NULL UNIQUE,
    name        varchar NOT NULL,
    is_active   boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz
);

CREATE TABLE IF NOT EXISTS tenants (
    id          varchar PRIMARY KEY,
    name        varchar NOT NULL,
    owner_id    varchar NOT NULL REFERENCES users (id),
    plan        varchar NOT NULL DEFAULT 'free',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz
);

CREATE TABLE IF NOT EXISTS projects (
    id          varchar PRIMARY KEY,
    tenant_id   varchar NOT NULL REFERENCES tenants (id),
    name        varchar NOT NULL,
    owner_id    varchar NOT NULL REFERENCES users (id),
    is_public   boolean NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz
);
CREATE INDEX IF NOT EXISTS ix_projects_tenant_id ON projects (tenant_id);

-- role: owner | admin | member | guest
CREATE TABLE IF NOT EXISTS user_tenants (
    user_id     varchar NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    tenant_id   varchar NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    role        varchar NOT NULL DEFAULT 'member',
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, tenant_id)
);
CREATE INDEX IF NOT EXISTS ix_user_tenants_tenant_id ON user_tenants (tenant_id);

-- role: owner | admin | member | viewer
CREATE TABLE IF NOT EXISTS user_projects (
    user_id     varchar NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    project_id  varchar NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    role        varchar NOT NULL DEFAULT 'member',
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, project_id)
);
CREATE INDEX IF NOT EXISTS ix_user_projects_project_id ON user_projects (project_id);

-- The name 'admin' is the system administrator.
CREATE TABLE IF NOT EXISTS roles (
    id          varchar PRIMARY KEY,
    name        varchar NOT NULL UNIQUE
);

CREATE TABLE IF NOT EXISTS user_roles (
    user_id     varchar NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role_id     varchar NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, role_id)
);

-- key_hash: hex SHA-256 of the whole key, prefix included. permissions: a JSON list.
CREATE TABLE IF NOT EXISTS api_keys (
    id           varchar PRIMARY KEY,
    key_hash     varchar NOT NULL UNIQUE,
    name         varchar NOT NULL,
    user_id      varchar NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    is_active    boolean NOT NULL DEFAULT true,
    permissions  json NOT NULL DEFAULT '[]',
    last_used_at timestamptz
);

-- §4: memories -------------------------------------------------------------------------------------------------

-- processing_status: PENDING | PROCESSING | COMPLETED | FAILED. task_id: the add_episode task made for it.
CREATE TABLE IF NOT EXISTS memories (
    id                varchar PRIMARY KEY,
    project_id        varchar NOT NULL REFERENCES projects (id),
    title             varchar NOT NULL,
    content           text NOT NULL,
    content_type      varchar NOT NULL DEFAULT 'text',
    tags              json NOT NULL DEFAULT '[]',
    entities          json NOT NULL DEFAULT '[]',
    relationships     json NOT NULL DEFAULT '[]',
    version           integer NOT NULL DEFAULT 1,
    author_id         varchar NOT NULL REFERENCES users (id),
    collaborators     json NOT NULL DEFAULT '[]',
    is_public         boolean NOT NULL DEFAULT false,
    status            varchar NOT NULL DEFAULT 'ENABLED',
    processing_status varchar NOT NULL DEFAULT 'PENDING',
    metadata          json NOT NULL DEFAULT '{}',
    task_id           varchar,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz
);
CREATE INDEX IF NOT EXISTS ix_memories_project_id ON memories (project_id);

-- §6: tasks ----------------------------------------------------------------------------------------------------

-- status: PENDING | PROCESSING | COMPLETED | FAILED | STOPPED
CREATE TABLE IF NOT EXISTS task_logs (
    id             varchar PRIMARY KEY,
    group_id       varchar,
    task_type      varchar,
    status         varchar,
    created_at     timestamptz DEFAULT now(),
    started_at     timestamptz,
    completed_at   timestamptz,
    stopped_at     timestamptz,
    error_message  text,
    worker_id      varchar,
    retry_count    integer DEFAULT 0,
    payload        json,
    progress       integer DEFAULT 0,
    result         json,
    message        varchar,
    entity_id      varchar,
    entity_type    varchar,
    parent_task_id varchar
);
CREATE INDEX IF NOT EXISTS ix_task_logs_group_id ON task_logs (group_id);
CREATE INDEX IF NOT EXISTS ix_task_logs_status ON task_logs (status);
CREATE INDEX IF NOT EXISTS ix_task_logs_entity_id ON task_logs (entity_id);
CREATE INDEX IF NOT EXISTS ix_task_logs_parent_task_id ON task_logs (parent_task_id);

-- §7: the schema of a project's graph ---------------------------------------------------------------------------

-- schema: {"<attribute>": {"type": "String|Integer|Float|Boolean|DateTime|...", "description": …}}.
-- status: ENABLED | DISABLED. source: user (drawn up by a person) | generated (found in a graph).
CREATE TABLE IF NOT EXISTS entity_types (
    id          varchar PRIMARY KEY,
    project_id  varchar NOT NULL,
    name        varchar NOT NULL,
    description text,
    schema      json NOT NULL DEFAULT '{}',
    status      varchar NOT NULL DEFAULT 'ENABLED',
    source      varchar NOT NULL DEFAULT 'user',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz,
    UNIQUE (project_id, name)
);

CREATE TABLE IF NOT EXISTS edge_types (
    id          varchar PRIMARY KEY,
    project_id  varchar NOT NULL,
    name        varchar NOT NULL,
    description text,
    schema      json NOT NULL DEFAULT '{}',
    status      varchar NOT NULL DEFAULT 'ENABLED',
    source      varchar NOT NULL DEFAULT 'user',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz,
    UNIQUE (project_id, name)
);

-- Which edge types may join which entity types; the types are given by name.
CREATE TABLE IF NOT EXISTS edge_type_maps (
    id          varchar PRIMARY KEY,
    project_id  varchar NOT NULL,
    source_type varchar NOT NULL,
    target_type varchar NOT NULL,
    edge_type   varchar NOT NULL,
    status      varchar NOT NULL DEFAULT 'ENABLED',
    source      varchar NOT NULL DEFAULT 'user',
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz,
    UNIQUE (project_id, source_type, target_type, edge_type)
);
