"""PostgreSQL: the pool, queries by name, batches, migrations and the channel log."""
