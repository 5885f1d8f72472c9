"""PostgreSQL: pool, named queries, schema."""
