-- Live streams: broadcasts, watch sessions, samples. Rows of sessions are locked in the order of their ids, so that
-- batches of several nodes and the end of a stream do not wait for each other in a circle.

-- name: read_streams(stream_ids) -> rows
SELECT c.id AS stream_id, c.live_state, c.hide_viewer_count, p.id IS NOT NULL AS is_published,
       b.id AS broadcast_id, b.started_at, b.ended_at, b.seq, b.peak_viewers,
       s.viewers AS sampled_viewers, s.sessions AS sampled_sessions, s.at AS sampled_at,
       clock_timestamp() AS now
  FROM content c
  LEFT JOIN published_content p ON p.id = c.id
  LEFT JOIN live_broadcasts b ON b.id = c.broadcast_id
  LEFT JOIN LATERAL (SELECT viewers, sessions, at FROM live_viewer_samples
                      WHERE broadcast_id = b.id ORDER BY at DESC LIMIT 1) s ON true
 WHERE c.id = ANY ($1::uuid[]) AND c.kind = 'live' AND c.deleted_at IS NULL;

-- name: start_sessions(ids, stream_ids, persons, device_ids, states, node) -> rows
-- One row per session asked for; without a broadcast it was not started. The lock makes a stream's end wait for
-- the sessions that found it live, so that it closes them too.
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[])
                  AS a (id, stream_id, person, device_id, state)
), live AS (
    SELECT id, stream_id FROM live_broadcasts
     WHERE stream_id = ANY ($2::uuid[]) AND ended_at IS NULL
     ORDER BY id
       FOR SHARE
), started AS (
    INSERT INTO live_stream_sessions (id, broadcast_id, person, device_id, state, node)
    SELECT a.id, l.id, a.person, a.device_id, a.state, $6
      FROM asked a JOIN live l USING (stream_id) JOIN published_content p ON p.id = a.stream_id
    RETURNING id, broadcast_id
)
SELECT a.id, s.broadcast_id, p.id IS NOT NULL AS is_published
  FROM asked a
  LEFT JOIN started s ON s.id = a.id
  LEFT JOIN published_content p ON p.id = a.stream_id AND p.kind = 'live';

-- name: beat_sessions(ids, persons, states, node, lease_ms) -> rows
-- Only open sessions of that person are answered.
WITH beat AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]) AS b (id, person, state)
), open AS (
    SELECT s.id, b.state
      FROM live_stream_sessions s JOIN beat b ON b.id = s.id AND b.person = s.person
     WHERE s.ended_at IS NULL
     ORDER BY s.id
       FOR UPDATE OF s
)
UPDATE live_stream_sessions s
   SET last_heartbeat_at = now(),
       watched_ms = s.watched_ms + CASE WHEN s.state = 'playing'
           THEN least(greatest((extract(epoch FROM now() - s.last_heartbeat_at) * 1000)::bigint, 0), $5::bigint)
           ELSE 0 END,
       paused_at = CASE WHEN o.state = 'paused' AND s.state = 'playing' THEN now()
                        WHEN o.state = 'paused' THEN s.paused_at END,
       state = o.state,
       node = $4
  FROM open o, live_broadcasts b
 WHERE s.id = o.id AND b.id = s.broadcast_id
RETURNING s.id, s.person, s.broadcast_id, b.stream_id, s.state,
          (extract(epoch FROM now() - s.paused_at) * 1000)::bigint AS paused_ms;

-- name: end_sessions(ids, persons, lease_ms) -> rows
-- Every session of that person is answered, also one that had ended before; has_ended: it did now.
WITH leaving AS (
    SELECT s.id, s.broadcast_id, s.person
      FROM unnest($1::uuid[], $2::text[]) AS l (id, person)
      JOIN live_stream_sessions s ON s.id = l.id AND s.person = l.person
     ORDER BY s.id
       FOR UPDATE OF s
), ended AS (
    UPDATE live_stream_sessions s
       SET ended_at = now(),
           end_reason = 'left',
           watched_ms = s.watched_ms + CASE WHEN s.state = 'playing'
               THEN least(greatest((extract(epoch FROM now() - s.last_heartbeat_at) * 1000)::bigint, 0), $3::bigint)
               ELSE 0 END
      FROM leaving l
     WHERE s.id = l.id AND s.ended_at IS NULL
    RETURNING s.id
)
SELECT l.id, l.person, l.broadcast_id, b.stream_id, e.id IS NOT NULL AS has_ended
  FROM leaving l JOIN live_broadcasts b ON b.id = l.broadcast_id LEFT JOIN ended e ON e.id = l.id;

-- name: end_lost_sessions(silent_ms, limit) -> value
-- They end at their last heartbeat, so what they watched stays as it is. In no order: that would make it tempting to
-- walk the primary key, past every session that ever was.
WITH lost AS (
    SELECT id FROM live_stream_sessions
     WHERE ended_at IS NULL AND last_heartbeat_at < now() - $1::bigint * interval '1 millisecond'
     LIMIT $2
       FOR UPDATE SKIP LOCKED
), ended AS (
    UPDATE live_stream_sessions s SET ended_at = s.last_heartbeat_at, end_reason = 'lost'
      FROM lost WHERE s.id = lost.id
    RETURNING s.id
)
SELECT count(*) FROM ended;

-- name: lock_stream(stream_id) -> row
SELECT c.live_state, c.broadcast_id, p.id IS NOT NULL AS is_published, b.started_at
  FROM content c
  LEFT JOIN published_content p ON p.id = c.id
  LEFT JOIN live_broadcasts b ON b.id = c.broadcast_id
 WHERE c.id = $1 AND c.kind = 'live' AND c.deleted_at IS NULL
   FOR NO KEY UPDATE OF c;

-- name: start_broadcast(broadcast_id, stream_id, started_by, seq_floor) -> row
-- seq is about the time in ms, and larger than that of every broadcast before.
WITH begun AS (
    INSERT INTO live_broadcasts (id, stream_id, started_by, seq)
    SELECT $1, $2, $3, greatest(coalesce(max(seq), 0) + 1, $4::bigint + 1, (extract(epoch FROM now()) * 1000)::bigint)
      FROM live_broadcasts WHERE stream_id = $2
    RETURNING id, stream_id, started_at, seq
), shown AS (
    UPDATE content SET live_state = 'live', broadcast_id = $1 WHERE id = $2
)
SELECT started_at, seq FROM begun;

-- name: lock_broadcast(broadcast_id) -> value
-- Waits for the sessions that are just being started, see start_sessions.
SELECT id FROM live_broadcasts WHERE id = $1 FOR NO KEY UPDATE;

-- name: end_open_sessions(broadcast_id, lease_ms) -> none
WITH open AS (
    SELECT id FROM live_stream_sessions WHERE broadcast_id = $1 AND ended_at IS NULL ORDER BY id FOR UPDATE
)
UPDATE live_stream_sessions s
   SET ended_at = now(),
       end_reason = 'stream_ended',
       watched_ms = s.watched_ms + CASE WHEN s.state = 'playing'
           THEN least(greatest((extract(epoch FROM now() - s.last_heartbeat_at) * 1000)::bigint, 0), $2::bigint)
           ELSE 0 END
  FROM open o
 WHERE s.id = o.id;

-- name: end_broadcast(broadcast_id, ended_by, seq_floor, peak) -> row
-- The average is the sum of viewers times time over the samples, the last of which was taken at the end. Between two
-- samples of one life the sum is known exactly; over a loss of Redis the earlier number stands for the time between,
-- and before the first sample that sample. Without any sample it is made from the sessions.
WITH timed AS (
    SELECT s.at, s.viewers, s.viewer_ms, s.life, b.started_at,
           lag(s.at) OVER w AS before_at, lag(s.viewers) OVER w AS before_viewers,
           lag(s.viewer_ms) OVER w AS before_viewer_ms, lag(s.life) OVER w AS before_life,
           lead(s.at) OVER w IS NULL AS is_last
      FROM live_viewer_samples s JOIN live_broadcasts b ON b.id = s.broadcast_id
     WHERE s.broadcast_id = $1
    WINDOW w AS (ORDER BY s.at)
), summed AS (
    SELECT sum(CASE WHEN before_at IS NULL AND to_timestamp(life / 1000000.0) <= started_at + interval '5 seconds'
                    THEN viewer_ms
                    WHEN before_at IS NULL
                    THEN viewers * (extract(epoch FROM at - started_at) * 1000)::double precision
                    WHEN before_life = life THEN viewer_ms - before_viewer_ms
                    ELSE before_viewers * (extract(epoch FROM at - before_at) * 1000)::double precision END)
           + sum(CASE WHEN is_last THEN viewers * (extract(epoch FROM greatest(now() - at, interval '0')) * 1000)
                      ELSE 0 END)::double precision AS viewer_ms
      FROM timed
), watched AS (
    -- Whoever was paused from the beginning and never played was no viewer.
    SELECT count(DISTINCT person) FILTER (WHERE state = 'playing' OR paused_at IS NOT NULL) AS viewers,
           (coalesce(sum(watched_ms), 0) / 60000.0)::double precision AS minutes
      FROM live_stream_sessions WHERE broadcast_id = $1
), hidden AS (
    UPDATE content SET live_state = 'ended' WHERE id = (SELECT stream_id FROM live_broadcasts WHERE id = $1)
)
UPDATE live_broadcasts b
   SET ended_at = now(),
       ended_by = $2,
       seq = greatest(b.seq + 1, $3::bigint + 1, (extract(epoch FROM now()) * 1000)::bigint),
       peak_viewers = greatest(b.peak_viewers, $4::integer),
       average_viewers = coalesce(
           coalesce(summed.viewer_ms, watched.minutes * 60000)
           / nullif((extract(epoch FROM now() - b.started_at) * 1000)::double precision, 0), 0),
       unique_viewers = watched.viewers,
       watch_minutes = watched.minutes
  FROM summed, watched
 WHERE b.id = $1
RETURNING b.id AS broadcast_id, b.stream_id, b.started_at, b.ended_at, b.peak_viewers, b.average_viewers,
          b.unique_viewers, b.watch_minutes;

-- name: read_live_broadcasts() -> rows
SELECT id, (extract(epoch FROM clock_timestamp() - started_at) * 1000)::bigint AS age_ms, peak_viewers
  FROM live_broadcasts WHERE ended_at IS NULL;

-- name: insert_samples(broadcast_ids, viewers, sessions, lives, viewer_ms, peaks) -> none
-- The greatest peak stays. Broadcasts that have ended meanwhile get no more samples.
WITH sample AS (
    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[], $6::integer[])
                  AS s (broadcast_id, viewers, sessions, life, viewer_ms, peak)
), live AS (
    SELECT b.id, b.peak_viewers FROM live_broadcasts b
     WHERE b.id = ANY ($1::uuid[]) AND b.ended_at IS NULL
     ORDER BY b.id
       FOR NO KEY UPDATE
), inserted AS (
    INSERT INTO live_viewer_samples (broadcast_id, viewers, sessions, life, viewer_ms)
    SELECT s.broadcast_id, s.viewers, s.sessions, s.life, s.viewer_ms
      FROM sample s JOIN live l ON l.id = s.broadcast_id
        ON CONFLICT (broadcast_id, at) DO NOTHING
)
UPDATE live_broadcasts b SET peak_viewers = s.peak
  FROM sample s JOIN live l ON l.id = s.broadcast_id
 WHERE b.id = l.id AND s.peak > l.peak_viewers;

-- name: read_series(stream_id, from, to, step) -> rows
-- Steps without a sample are left out.
SELECT date_bin($4::interval, s.at, $2::timestamptz) AS at,
       avg(s.viewers)::double precision AS viewers, max(s.viewers) AS peak, max(s.sessions) AS sessions
  FROM live_broadcasts b JOIN live_viewer_samples s ON s.broadcast_id = b.id
 WHERE b.stream_id = $1 AND b.started_at < $3 AND (b.ended_at IS NULL OR b.ended_at >= $2)
   AND s.at >= $2 AND s.at < $3
 GROUP BY 1
 ORDER BY 1;

-- name: read_series_range(stream_id) -> row
-- The last broadcast, or nothing.
SELECT started_at, coalesce(ended_at, now()) AS ended_at
  FROM live_broadcasts WHERE stream_id = $1
 ORDER BY started_at DESC
 LIMIT 1;
