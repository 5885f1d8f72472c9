-- How dead letters are redriven; `selection` selects dead letters then. NULL: it selects tasks.
ALTER TABLE taskgate.operation ADD COLUMN letters jsonb;
