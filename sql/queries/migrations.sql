-- The record of migrations. See csn_rt/db/migrate.py for its rules.

-- name: read_migrations() -> rows
SELECT version, name, checksum, applied_at FROM schema_migrations ORDER BY version;

-- name: record_migration(version, name, checksum) -> none
INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3);

-- name: has_migrations_table() -> value
SELECT to_regclass('schema_migrations') IS NOT NULL;
