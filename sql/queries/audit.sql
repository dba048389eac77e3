-- The audit log. See csn_rt/features/audit.py for its rules.

-- name: insert_audit_entry(id, actor_type, actor_id, actor_name, action, entity, entity_id, version, changed, before, after, reason, request_id, ip, user_agent, via) -> none
INSERT INTO content_audit_log (id, actor_type, actor_id, actor_name, action, entity, entity_id, version, changed,
                               before, after, reason, request_id, ip, user_agent, via)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11::jsonb, $12, $13, $14, $15, $16);
