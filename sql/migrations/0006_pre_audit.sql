-- The audit log: who changed what, when and why, in the transaction of the change, never altered afterwards.

CREATE TABLE content_audit_log (
    id         uuid PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    actor_type text NOT NULL CHECK (actor_type IN ('user', 'anonymous', 'system')),
    actor_id   text NOT NULL CHECK (char_length(actor_id) <= 200),
    actor_name text,
    action     text NOT NULL CHECK (char_length(action) BETWEEN 1 AND 100),
    entity     text NOT NULL CHECK (char_length(entity) BETWEEN 1 AND 100),
    entity_id  text NOT NULL CHECK (char_length(entity_id) BETWEEN 1 AND 200),
    version    integer,
    changed    text[] NOT NULL DEFAULT '{}',
    before     jsonb,
    after      jsonb,
    reason     text,
    request_id text NOT NULL DEFAULT '',
    ip         text NOT NULL DEFAULT '',
    user_agent text NOT NULL DEFAULT '',
    via        text NOT NULL CHECK (via IN ('websocket', 'http', 'internal'))
);
CREATE INDEX content_audit_log_by_time ON content_audit_log (at DESC, id DESC);
CREATE INDEX content_audit_log_by_entity ON content_audit_log (entity, entity_id, at DESC, id DESC);
CREATE INDEX content_audit_log_by_actor ON content_audit_log (actor_id, at DESC, id DESC);
CREATE INDEX content_audit_log_by_action ON content_audit_log (action, at DESC, id DESC);
COMMENT ON TABLE content_audit_log IS 'One row per deed: content, media, league data, chat moderation, settings, stream start and end, denied attempts. Append-only.';
COMMENT ON COLUMN content_audit_log.id IS 'UUIDv7.';
COMMENT ON COLUMN content_audit_log.at IS 'Start of the transaction of the change.';
COMMENT ON COLUMN content_audit_log.actor_type IS 'user, anonymous, or system for what the service does by itself.';
COMMENT ON COLUMN content_audit_log.actor_id IS 'User id of the actor.';
COMMENT ON COLUMN content_audit_log.actor_name IS 'Name as it was in the token at that time.';
COMMENT ON COLUMN content_audit_log.action IS 'The operation, e.g. content.publish.';
COMMENT ON COLUMN content_audit_log.entity IS 'What was acted on, e.g. content, media, chat_message, user.';
COMMENT ON COLUMN content_audit_log.entity_id IS 'Its id.';
COMMENT ON COLUMN content_audit_log.version IS 'Version of the entity after the change; NULL where it has none.';
COMMENT ON COLUMN content_audit_log.changed IS 'Names of the fields that changed, sorted.';
COMMENT ON COLUMN content_audit_log.before IS 'Those fields before the change; NULL for a creation.';
COMMENT ON COLUMN content_audit_log.after IS 'Those fields after the change; NULL for a removal.';
COMMENT ON COLUMN content_audit_log.reason IS 'What the actor gave as the reason.';
COMMENT ON COLUMN content_audit_log.request_id IS 'Id of the request, as in the server''s log.';
COMMENT ON COLUMN content_audit_log.ip IS 'Address that the call came from; empty: none.';
COMMENT ON COLUMN content_audit_log.user_agent IS 'What the client called itself; empty: it did not say.';
COMMENT ON COLUMN content_audit_log.via IS 'Way of the call: websocket, http or internal.';

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
COMMENT ON FUNCTION refuse_audit_change() IS 'Refuses every change of an entry of the audit log, whoever asks.';
CREATE TRIGGER content_audit_log_append_only BEFORE UPDATE OR DELETE ON content_audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER content_audit_log_no_truncate BEFORE TRUNCATE ON content_audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
