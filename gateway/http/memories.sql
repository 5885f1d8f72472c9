-- name: insert
-- A memory, in the transaction that accepts its task.
INSERT INTO memories (id, project_id, title, content, content_type, tags, entities, relationships, version, author_id,
                      collaborators, is_public, status, processing_status, metadata, task_id, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6::json, $7::json, $8::json, $9, $10, $11::json, $12, $13, $14, $15::json, $16, $17, $17)
