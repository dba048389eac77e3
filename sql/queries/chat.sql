-- Live chat. See csn_rt/features/chat/store.py for its rules.

-- name: find_chats(stream_ids) -> rows
-- Those that exist and may be seen, whether they have ended or not.
SELECT id
  FROM published_content
 WHERE id = ANY ($1::uuid[]) AND kind = 'live';

-- name: insert_chat_messages(ids, stream_ids, user_ids, user_names, user_roles, avatar_urls, texts, client_ids, is_refused, heads, sent_at) -> rows
-- One row per draft, in the order given. Call it with the channels of all these chats locked: then every message
-- that was accepted before is seen here, and the heads stay what they are.
WITH draft AS (
    SELECT *
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                  $9::boolean[], $10::bigint[]) WITH ORDINALITY
        AS d (id, stream_id, user_id, user_name, user_role, avatar_url, text, client_id, is_refused, head, n)
), judged AS (
    SELECT d.*, stored.id AS stored_id,
           CASE WHEN stored.id IS NOT NULL THEN 'stored'
                WHEN chat.id IS NULL THEN 'unknown'
                WHEN d.is_refused THEN 'refused'
                WHEN chat.live_state = 'ended' THEN 'chat_ended'
                -- Restrictions, modes and slow mode are judged here, by further joins.
                ELSE 'posted'
           END AS outcome
      FROM draft d
      LEFT JOIN published_content chat ON chat.id = d.stream_id AND chat.kind = 'live'
      -- One look into live_chat_messages_once for each draft, whatever the planner thinks of the table: LATERAL with
      -- a LIMIT is a nested loop, and the cast hides the stream from the index that begins with it.
      LEFT JOIN LATERAL (SELECT m.id
                           FROM live_chat_messages m
                          WHERE m.user_id = d.user_id AND m.client_id = d.client_id
                            AND m.stream_id::text = d.stream_id::text
                          LIMIT 1) stored ON true
), placed AS (
    SELECT j.*, j.head + row_number() OVER (PARTITION BY j.stream_id, j.outcome ORDER BY j.n) AS sequence
      FROM judged j
), posted AS (
    INSERT INTO live_chat_messages
           (id, stream_id, sequence, user_id, user_name, user_role, avatar_url, text, client_id, sent_at)
    SELECT id, stream_id, sequence, user_id, user_name, user_role, avatar_url, text, client_id, $11::timestamptz
      FROM placed
     WHERE outcome = 'posted'
     ORDER BY n
)
SELECT outcome, sequence, stored_id
  FROM placed
 ORDER BY n;

-- name: read_chat_messages(ids) -> rows
SELECT id, stream_id, sequence, user_id, user_name, user_role, avatar_url, text, sent_at, client_id
  FROM live_chat_messages
 WHERE id = ANY ($1::uuid[]);

-- name: read_chat_page(stream_id, before, limit) -> rows
-- No row: there is no such chat. One row without an id: there are no (more) messages.
SELECT m.*
  FROM published_content chat
  LEFT JOIN LATERAL (SELECT id, stream_id, sequence, user_id, user_name, user_role, avatar_url, text, sent_at,
                            client_id
                       FROM live_chat_messages
                      WHERE stream_id = chat.id AND sequence < $2 AND status = 'visible'
                      ORDER BY sequence DESC
                      LIMIT $3) m ON true
 WHERE chat.id = $1 AND chat.kind = 'live'
 ORDER BY m.sequence DESC;

-- name: find_chat_message(id) -> row
SELECT m.stream_id, m.user_id,
       m.status = 'visible' AND EXISTS (SELECT FROM published_content WHERE id = m.stream_id) AS is_shown
  FROM live_chat_messages m
 WHERE m.id = $1;

-- name: retract_chat_message(id, at) -> value
-- Its sequence if viewers saw it until now; no row or NULL: they need not be told.
WITH was AS (
    SELECT id, status FROM live_chat_messages WHERE id = $1 FOR UPDATE
)
UPDATE live_chat_messages m
   SET status = 'deleted', removed_at = $2, removed_by = m.user_id, removal = 'retraction'
  FROM was
 WHERE m.id = was.id AND was.status <> 'deleted'
RETURNING CASE WHEN was.status = 'visible' THEN m.sequence END AS shown_sequence;
