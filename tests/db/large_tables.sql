-- Enough rows that the planner reads a table whole only where it has no other way. Ids are made of numbers, so that
-- rows can point to each other.
CREATE FUNCTION pg_temp.id(n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql
    RETURN ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid;

INSERT INTO teams (id, name, short_name, sport)
SELECT pg_temp.id(n), 'Team ' || n, 'T' || n, 'ice hockey' FROM generate_series(1, 40) n;

INSERT INTO games (id, sport, home_team_id, away_team_id, starts_at)
SELECT pg_temp.id(n), 'ice hockey', pg_temp.id(n % 40 + 1), pg_temp.id((n + 1) % 40 + 1), now() - n * interval '1 hour'
  FROM generate_series(1, 2000) n;

INSERT INTO media_assets (id, name, mime, state, playable)
SELECT pg_temp.id(n), 'film ' || n, 'video/mp4', 'ready', true FROM generate_series(1, 20000) n;

-- Every tenth is a live stream; one in a hundred of those is on air.
INSERT INTO content (id, kind, state, title, slug, media_id, game_id, team_ids, tags, live_state, broadcast_id, published_at)
SELECT pg_temp.id(n), CASE WHEN n % 10 = 0 THEN 'live' ELSE 'vod' END, 'published', 'Film ' || n, 'film-' || n,
       pg_temp.id(n), pg_temp.id(n % 2000 + 1), ARRAY[pg_temp.id(n % 40 + 1)], ARRAY['tag-' || n % 500],
       CASE WHEN n % 1000 = 0 THEN 'live' WHEN n % 10 = 0 THEN 'ended' END,
       CASE WHEN n % 10 = 0 THEN pg_temp.id(n) END, now() - n * interval '1 minute'
  FROM generate_series(1, 20000) n;

INSERT INTO live_broadcasts (id, stream_id, started_at, started_by, seq, ended_at, ended_by, average_viewers,
                             unique_viewers, watch_minutes)
SELECT pg_temp.id(n), pg_temp.id(n), now() - interval '1 day', 'admin', n, at, by, nothing, nothing, nothing
  FROM generate_series(10, 20000, 10) n,
       LATERAL (SELECT CASE WHEN n % 1000 <> 0 THEN now() END AS at, CASE WHEN n % 1000 <> 0 THEN 'admin' END AS by,
                       CASE WHEN n % 1000 <> 0 THEN 0 END AS nothing) ended;

INSERT INTO live_stream_sessions (id, broadcast_id, person, node, state, started_at, last_heartbeat_at, ended_at, end_reason)
SELECT pg_temp.id(n), pg_temp.id(n % 2000 * 10 + 10), 'u:user-' || n % 5000, 'node', 'playing', now() - interval '1 day',
       now(), CASE WHEN n % 100 <> 0 THEN now() END, CASE WHEN n % 100 <> 0 THEN 'left' END
  FROM generate_series(1, 50000) n;

INSERT INTO live_viewer_samples (broadcast_id, at, viewers, sessions, life, viewer_ms)
SELECT pg_temp.id(n % 2000 * 10 + 10), now() - n * interval '1 second', 1, 1, 1, n FROM generate_series(1, 50000) n;

INSERT INTO live_chat_messages (id, stream_id, sequence, user_id, user_name, user_role, text, client_id, sent_at)
SELECT pg_temp.id(n), pg_temp.id(n % 200 * 100 + 100), n, 'user-' || n % 5000, 'User', 'user', 'hello', 'key-' || n, now()
  FROM generate_series(1, 50000) n;

INSERT INTO user_watch_progress (user_id, content_id, version)
SELECT 'user-' || n % 5000, pg_temp.id(n / 5000 * 100 + n % 97 + 1), 1 FROM generate_series(1, 50000) n;

INSERT INTO playback_sessions (user_id, content_id, playback_session_id, seen, heard)
SELECT user_id, content_id, 'session', '{}', '{}' FROM user_watch_progress;

INSERT INTO content_audit_log (id, at, actor_type, actor_id, action, entity, entity_id, via)
SELECT pg_temp.id(n), now() - n * interval '1 minute', 'user', 'admin-' || n % 50, 'content.update', 'content',
       pg_temp.id(n % 20000)::text, 'http'
  FROM generate_series(1, 50000) n;

INSERT INTO channels (channel, head) SELECT 'user:user-' || n, 10 FROM generate_series(1, 50000) n;

INSERT INTO channel_log (channel, "offset", data, at)
SELECT 'user:user-' || n % 5000, n / 5000 + 1, '{}', now() - n * interval '1 second' FROM generate_series(1, 50000) n;
