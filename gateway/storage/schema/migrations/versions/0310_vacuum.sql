-- Dead rows are taken away when they are a fiftieth of a table, not a fifth, which is PostgreSQL's default: of ten million rows two
-- million. So what retention deletes becomes room for new tasks while it goes on. Statistics follow in the same steps.
ALTER TABLE taskgate.dispatch SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE taskgate.attempt SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE task_logs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
