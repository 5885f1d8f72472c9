-- The schema of a project's graph (contract §7): entity_types, edge_types, edge_type_maps.
-- MemStack's own tables may lack columns that the embedded ones have, so only those are named that both have.

-- name: load_entity_types
SELECT name, description, schema
FROM entity_types
WHERE project_id = $1 AND coalesce(status, 'ENABLED') = 'ENABLED'
ORDER BY name;

-- name: load_edge_types
SELECT name, description, schema
FROM edge_types
WHERE project_id = $1 AND coalesce(status, 'ENABLED') = 'ENABLED'
ORDER BY name;

-- Generated maps record what was seen, not what is allowed: as rules they would rename every other edge.
-- name: load_edge_type_maps
SELECT source_type, target_type, edge_type
FROM edge_type_maps
WHERE project_id = $1 AND coalesce(status, 'ENABLED') = 'ENABLED' AND coalesce(source, 'user') <> 'generated'
ORDER BY source_type, target_type, edge_type;

-- name: add_entity_types
INSERT INTO entity_types (id, project_id, name, description, schema, status, source)
SELECT gen_random_uuid()::text, $1::text, name, 'Found in the graph', '{}', 'ENABLED', 'generated'
FROM unnest($2::text[]) AS name
WHERE NOT EXISTS (SELECT FROM entity_types known WHERE known.project_id = $1::text AND known.name = name.name)
ON CONFLICT DO NOTHING;

-- name: add_edge_types
INSERT INTO edge_types (id, project_id, name, description, schema, status, source)
SELECT gen_random_uuid()::text, $1::text, name, 'Found in the graph', '{}', 'ENABLED', 'generated'
FROM unnest($2::text[]) AS name
WHERE NOT EXISTS (SELECT FROM edge_types known WHERE known.project_id = $1::text AND known.name = name.name)
ON CONFLICT DO NOTHING;

-- name: add_edge_type_maps
INSERT INTO edge_type_maps (id, project_id, source_type, target_type, edge_type, status, source)
SELECT gen_random_uuid()::text, $1::text, seen.source_type, seen.target_type, seen.edge_type, 'ENABLED', 'generated'
FROM unnest($2::text[], $3::text[], $4::text[]) AS seen (source_type, target_type, edge_type)
WHERE NOT EXISTS (
    SELECT FROM edge_type_maps known
    WHERE known.project_id = $1::text AND known.source_type = seen.source_type
      AND known.target_type = seen.target_type AND known.edge_type = seen.edge_type
)
ON CONFLICT DO NOTHING;

-- name: set_memory_status
UPDATE memories SET processing_status = $2, updated_at = now() WHERE id = $1;
