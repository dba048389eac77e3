-- Which migrations this database has had. Run before anything else, and again every time.
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY CHECK (version > 0),
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE schema_migrations IS 'One row per file of sql/migrations that was applied here.';
COMMENT ON COLUMN schema_migrations.version IS 'The number at the head of the file''s name.';
COMMENT ON COLUMN schema_migrations.name IS 'The file''s name.';
COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of the file as it was applied; an applied file is never changed.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When its transaction began.';
