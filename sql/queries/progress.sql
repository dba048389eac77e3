-- Watch progress. The rules are numbered in csn_rt/features/progress/{playback,merge}.py.

-- name: lock_watch_progress(user_ids, content_ids) -> none
-- Makes the rows that are not there (version 0: nothing stored yet) and locks all, in one order on every node.
-- WHERE false: the conflicting row is locked and not written.
-- The mode is for merge_reports, later in the transaction: one plan serves all, and to plan anew for each small batch
-- takes longer than to run it (2 ms, 1 ms).
WITH mode AS MATERIALIZED (SELECT set_config('plan_cache_mode', 'force_generic_plan', true))
INSERT INTO user_watch_progress AS w (user_id, content_id)
SELECT DISTINCT k.user_id, k.content_id
  FROM mode
 CROSS JOIN unnest($1::text[], $2::uuid[]) AS k (user_id, content_id)
  JOIN published_content c ON c.id = k.content_id AND c.kind <> 'live'
 ORDER BY k.user_id, k.content_id
    ON CONFLICT (user_id, content_id) DO UPDATE SET version = w.version WHERE false;

-- name: merge_reports(user_ids, content_ids, session_ids, seqs, events, positions, durations, ages, user_actions) -> rows
-- One row per report, in order. No two reports may be of the same person and content; their rows are locked.
-- Each step is materialized: the next one reads its columns several times. The first branch of a CASE on ranges or
-- marks is what nearly all reports need; the second is right for all of them.
WITH report AS MATERIALIZED (
    SELECT r.n, r.user_id, r.content_id, r.session_id, r.seq, r.event, r.position_ms, r.is_user, d.duration_ms,
           date_trunc('milliseconds', now()) - r.age_ms * interval '1 millisecond' AS at,
           r.event = 'ended' OR watch_is_complete(r.position_ms, d.duration_ms) AS completes,
           w.version AS old_version, w.updated_at AS old_updated_at, w.position_ms AS old_position_ms,
           w.duration_ms AS old_duration_ms, w.completed AS old_completed, w.playback_session_id AS old_session_id,
           w.last_played_at AS old_last_played_at, w.effective_at AS old_effective_at, w.removed_at,
           CASE WHEN c.kind = 'live' THEN 'live'
                WHEN c.id IS NULL OR w.user_id IS NULL THEN 'unknown'
                WHEN r.position_ms > d.duration_ms + 2000 THEN 'beyond_end' END AS refusal
      FROM unnest($1::text[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[],
                  $8::bigint[], $9::boolean[]) WITH ORDINALITY
           AS r (user_id, content_id, session_id, seq, event, position_ms, duration_ms, age_ms, is_user, n)
      LEFT JOIN published_content c ON c.id = r.content_id
      LEFT JOIN media_assets m ON m.id = c.media_id AND m.deleted_at IS NULL
      LEFT JOIN user_watch_progress w ON w.user_id = r.user_id AND w.content_id = r.content_id
     CROSS JOIN LATERAL (SELECT coalesce(nullif(r.duration_ms, 0), nullif(c.duration_ms, 0), nullif(m.duration_ms, 0))
                             AS duration_ms) d
), heard AS MATERIALIZED (
    -- playback.Playback.hear, without the marks
    SELECT r.*, coalesce(s.marks, '{}') AS old_marks, s.quiet_until, f.is_new, f.is_late, f.is_quiet,
           CASE WHEN j.seen = int8multirange(range_merge(j.seen)) THEN j.seen
                ELSE (SELECT CASE WHEN count(*) <= 32 THEN j.seen
                                  ELSE j.seen + int8multirange(int8range(min(lower(x)), (array_agg(lower(x) ORDER BY x))[2])) END
                        FROM unnest(j.seen) AS x) END AS seen,
           CASE WHEN j.heard = tstzmultirange(range_merge(j.heard)) THEN j.heard
                ELSE (SELECT range_agg(x.x) FROM (SELECT x FROM unnest(j.heard) AS x ORDER BY x DESC LIMIT 8) AS x) END AS heard,
           CASE WHEN f.begins THEN r.seq ELSE s.start_seq END AS start_seq,
           CASE WHEN f.begins THEN r.at ELSE s.start_at END AS start_at,
           CASE WHEN f.places THEN greatest(s.last_at, r.at) ELSE s.last_at END AS last_at,
           CASE WHEN f.places AND r.is_user THEN greatest(s.user_at, r.at) ELSE s.user_at END AS user_at,
           CASE WHEN f.counts THEN least(s.least_ms, r.position_ms) ELSE s.least_ms END AS least_ms,
           CASE WHEN f.counts THEN greatest(s.most_ms, r.position_ms) ELSE s.most_ms END AS most_ms,
           CASE WHEN f.counts THEN least(s.shortest_ms, r.duration_ms) ELSE s.shortest_ms END AS shortest_ms,
           CASE WHEN f.seeks THEN r.seq ELSE s.seek_seq END AS seek_seq,
           CASE WHEN f.seeks THEN r.is_user ELSE coalesce(s.seek_is_user, false) END AS seek_is_user,
           CASE WHEN f.ends THEN ROW(r.seq, r.position_ms, r.duration_ms, r.at)::playback_mark ELSE s.ending END AS ending,
           f.places AND NOT r.completes AS has_mark
      FROM report r
      LEFT JOIN playback_sessions s
             ON s.user_id = r.user_id AND s.content_id = r.content_id AND s.playback_session_id = r.session_id
     CROSS JOIN LATERAL (SELECT r.refusal IS NULL AND coalesce(NOT s.seen @> r.seq, true) AS is_new,
                                coalesce(r.at <= s.quiet_until, false) AS is_quiet) a
     CROSS JOIN LATERAL (SELECT a.is_new AND NOT a.is_quiet AS counts,
                                a.is_new AND NOT a.is_quiet AND r.event <> 'start' AS places) b
     CROSS JOIN LATERAL (
         SELECT a.is_new, a.is_quiet, b.counts, b.places,
                coalesce(r.seq < upper(s.seen) - 1, false) AS is_late,
                b.counts AND r.event = 'start' AND coalesce(r.seq < s.start_seq, true) AS begins,
                b.places AND r.completes AND coalesce(r.seq > (s.ending).seq, true) AS ends,
                b.places AND NOT r.completes AND r.event = 'seek' AND coalesce(r.seq > s.seek_seq, true)
                    AND (r.is_user OR NOT watch_is_low(r.position_ms, r.duration_ms)) AS seeks) f
     CROSS JOIN LATERAL (
         SELECT coalesce(s.seen, '{}') + int8multirange(int8range(r.seq, r.seq + 1)) AS seen,
                CASE WHEN f.counts THEN coalesce(s.heard, '{}') + tstzmultirange(tstzrange(r.at, r.at + interval '30 seconds'))
                     ELSE coalesce(s.heard, '{}') END AS heard) j
), marked AS MATERIALIZED (
    -- playback._ever_less_far
    SELECT h.*,
           CASE WHEN h.has_mark AND h.seq >= m.floor AND coalesce(
                         h.seq > (h.old_marks[cardinality(h.old_marks)]).seq
                         AND h.position_ms >= (h.old_marks[1]).position_ms, true)
                THEN ARRAY[ROW(h.seq, h.position_ms, h.duration_ms, h.at)::playback_mark]
                ELSE (SELECT CASE WHEN cardinality(x.marks) > 16 THEN x.marks[1:1] || x.marks[3:] ELSE x.marks END
                        FROM (SELECT coalesce(array_agg(y.mark ORDER BY (y.mark).seq)
                                              FILTER (WHERE y.later_ms IS NULL OR (y.mark).position_ms > y.later_ms), '{}') AS marks
                                FROM (SELECT mark, max((mark).position_ms) OVER (
                                                 ORDER BY (mark).seq DESC
                                                  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later_ms
                                        FROM (SELECT ROW(o.seq, o.position_ms, o.duration_ms, o.effective_at)::playback_mark AS mark
                                                FROM unnest(h.old_marks) AS o
                                               UNION ALL
                                              SELECT ROW(h.seq, h.position_ms, h.duration_ms, h.at)::playback_mark
                                               WHERE h.has_mark) AS z
                                       WHERE (mark).seq >= m.floor) AS y) AS x) END AS marks
      FROM heard h
     CROSS JOIN LATERAL (SELECT greatest((h.ending).seq + 1, h.seek_seq, 0) AS floor) m
), placed AS MATERIALIZED (
    -- playback.Playback.place
    SELECT m.*, p.mark, p.is_completed, p.is_low,
           coalesce(greatest(m.at, m.start_at) <= end_stands.until, false) AS is_after_end,
           (m.marks[1]).position_ms AS furthest_ms
      FROM marked m
     CROSS JOIN LATERAL (
         SELECT m.seek_is_user AND coalesce(m.seek_seq > (m.ending).seq, m.seek_seq IS NOT NULL) AS is_users) s
     CROSS JOIN LATERAL (
         SELECT CASE WHEN cardinality(m.marks) <= 1 THEN m.marks[1]
                     ELSE (SELECT ROW(o.seq, o.position_ms, o.duration_ms, o.effective_at)::playback_mark
                             FROM unnest(m.marks) AS o
                            WHERE o.position_ms = (m.marks[1]).position_ms
                               OR (o.position_ms >= (m.marks[1]).position_ms - 10000
                                   AND NOT watch_is_low(o.position_ms, m.shortest_ms))
                            ORDER BY o.seq DESC
                            LIMIT 1) END AS mark) kept
     CROSS JOIN LATERAL (
         SELECT watch_is_low((kept.mark).position_ms, m.shortest_ms) AND NOT s.is_users AS is_low) low
     CROSS JOIN LATERAL (
         SELECT CASE WHEN (m.ending).seq IS NOT NULL
                     THEN greatest((m.ending).effective_at, m.start_at) + interval '60 seconds' END AS until) end_stands
     CROSS JOIN LATERAL (
         SELECT (m.ending).seq IS NOT NULL
                AND ((kept.mark).seq IS NULL
                     OR greatest((kept.mark).effective_at, m.start_at) <= end_stands.until
                     OR low.is_low) AS is_completed) e
     CROSS JOIN LATERAL (
         SELECT CASE WHEN e.is_completed THEN m.ending ELSE kept.mark END AS mark, e.is_completed,
                low.is_low AND NOT e.is_completed AS is_low) p
), judged AS MATERIALIZED (
    -- merge.merge
    SELECT p.*, o.writes,
           CASE WHEN p.refusal IS NOT NULL THEN p.refusal
                WHEN NOT p.is_new OR p.is_late THEN 'duplicate'
                WHEN p.event = 'start' THEN 'ignored_start'
                WHEN p.is_quiet OR NOT j.may_write THEN 'stale'
                WHEN j.is_too_low THEN 'ignored_start'
                WHEN (p.mark).seq = p.seq THEN 'saved'
                WHEN p.is_after_end THEN 'stale'
                WHEN p.event <> 'seek' AND p.position_ms < p.furthest_ms - 10000 THEN 'suspicious_rewind'
                ELSE 'ignored_start' END AS verdict
      FROM placed p
     CROSS JOIN LATERAL (
         SELECT coalesce(p.old_version = 0
                         OR p.old_session_id = p.session_id
                         OR greatest(p.user_at, p.start_at) > p.old_effective_at AND p.user_at IS NOT NULL
                         OR greatest(p.last_at, p.start_at) > p.old_effective_at AND p.last_at IS NOT NULL
                            AND p.most_ms - p.least_ms >= 10000
                            AND EXISTS (SELECT FROM unnest(p.heard) AS x
                                         WHERE upper(x) - lower(x) >= interval '40 seconds'
                                           AND upper(x) - interval '30 seconds' > p.old_effective_at), false) AS may_write,
                p.old_session_id IS DISTINCT FROM p.session_id
                AND p.is_low AND (p.mark).position_ms < p.old_position_ms AS is_too_low) j
     CROSS JOIN LATERAL (
         SELECT p.is_new AND NOT p.is_quiet AND (p.mark).seq IS NOT NULL AND j.may_write AND NOT j.is_too_low AS writes) o
), written AS MATERIALIZED (
    SELECT j.*,
           CASE WHEN j.writes THEN (j.mark).position_ms ELSE j.old_position_ms END AS new_position_ms,
           CASE WHEN j.writes THEN (j.mark).duration_ms ELSE j.old_duration_ms END AS new_duration_ms,
           CASE WHEN j.writes THEN j.is_completed ELSE j.old_completed END AS new_completed,
           CASE WHEN j.writes THEN j.session_id ELSE j.old_session_id END AS new_session_id,
           CASE WHEN j.writes THEN greatest((j.mark).effective_at, j.start_at) ELSE j.old_last_played_at END AS new_last_played_at
      FROM judged j
), answered AS MATERIALIZED (
    SELECT w.*, c.is_changed, r.is_removed
      FROM written w
     CROSS JOIN LATERAL (
         SELECT coalesce(w.removed_at >= coalesce(w.new_last_played_at, w.removed_at), false) AS is_removed,
                coalesce(w.removed_at >= coalesce(w.old_last_played_at, w.removed_at), false) AS was_removed) r
     CROSS JOIN LATERAL (
         SELECT w.writes AND (w.new_position_ms, w.new_duration_ms, w.new_completed, w.new_session_id, r.is_removed)
                IS DISTINCT FROM
                (w.old_position_ms, w.old_duration_ms, w.old_completed, w.old_session_id, r.was_removed) AS is_changed) c
), session AS (
    INSERT INTO playback_sessions AS s (
        user_id, content_id, playback_session_id, seen, heard, start_seq, start_at, last_at, user_at, least_ms,
        most_ms, shortest_ms, seek_seq, seek_is_user, ending, marks, quiet_until)
    SELECT user_id, content_id, session_id, seen, heard, start_seq, start_at, last_at, user_at, least_ms,
           most_ms, shortest_ms, seek_seq, seek_is_user, ending, marks, quiet_until
      FROM answered WHERE is_new
        ON CONFLICT (user_id, content_id, playback_session_id) DO UPDATE
       SET seen = excluded.seen, heard = excluded.heard, start_seq = excluded.start_seq, start_at = excluded.start_at,
           last_at = excluded.last_at, user_at = excluded.user_at, least_ms = excluded.least_ms,
           most_ms = excluded.most_ms, shortest_ms = excluded.shortest_ms, seek_seq = excluded.seek_seq, seek_is_user = excluded.seek_is_user,
           ending = excluded.ending, marks = excluded.marks
), row AS (
    UPDATE user_watch_progress w
       SET position_ms = a.new_position_ms, duration_ms = a.new_duration_ms, completed = a.new_completed,
           playback_session_id = a.new_session_id, last_played_at = a.new_last_played_at,
           effective_at = greatest(a.last_at, a.start_at), marked_at = NULL,
           version = a.old_version + a.is_changed::int,
           updated_at = CASE WHEN a.is_changed THEN now() ELSE a.old_updated_at END
      FROM answered a
     WHERE a.writes AND w.user_id = a.user_id AND w.content_id = a.content_id
)
SELECT verdict, is_changed, content_id, new_position_ms AS position_ms, new_duration_ms AS duration_ms,
       new_completed AS completed, is_removed AS removed, old_version + is_changed::int AS version,
       CASE WHEN is_changed THEN now() ELSE old_updated_at END AS updated_at, new_last_played_at AS last_played_at,
       new_session_id AS playback_session_id, NOT watch_is_low(new_position_ms, new_duration_ms) AS started
  FROM answered
 ORDER BY n;

-- name: read_watch_progress(user_id, content_ids) -> rows
SELECT w.content_id, w.position_ms, w.duration_ms, w.completed, w.version, w.updated_at, w.last_played_at, w.playback_session_id,
       coalesce(w.removed_at >= coalesce(w.last_played_at, w.removed_at), false) AS removed,
       NOT watch_is_low(w.position_ms, w.duration_ms) AS started
  FROM user_watch_progress w
 WHERE w.user_id = $1 AND w.content_id = ANY ($2::uuid[]) AND w.version > 0
 ORDER BY array_position($2::uuid[], w.content_id);

-- name: read_continue_watching(user_ids, limit) -> rows
-- Of several people at once, for a crowd that comes back together; the limit is each one's own.
-- The shape of a row with its content is shared with read_watch_history.
SELECT asked.user_id, watched.*
  FROM unnest($1::text[]) AS asked (user_id)
 CROSS JOIN LATERAL (
       SELECT w.content_id, w.position_ms, coalesce(w.duration_ms, c.duration_ms, m.duration_ms) AS duration_ms,
              w.completed, w.version, w.updated_at, w.last_played_at, w.playback_session_id, false AS removed,
              true AS started, c.kind, c.title, c.slug, c.thumbnail_url,
              coalesce(c.duration_ms, m.duration_ms) AS content_duration_ms
         FROM user_watch_progress w
         JOIN published_content c ON c.id = w.content_id
         LEFT JOIN media_assets m ON m.id = c.media_id AND m.deleted_at IS NULL
        WHERE w.user_id = asked.user_id
          AND w.version > 0
          AND NOT w.completed
          AND NOT watch_is_low(w.position_ms, coalesce(w.duration_ms, c.duration_ms, m.duration_ms))
          AND coalesce(w.removed_at < w.last_played_at, true)
          AND w.last_played_at > now() - interval '16 weeks'
          AND (c.kind <> 'clip' OR coalesce(w.duration_ms, c.duration_ms, m.duration_ms) >= 300000)
        ORDER BY w.last_played_at DESC, w.content_id DESC
        LIMIT $2) watched
 ORDER BY asked.user_id, watched.last_played_at DESC, watched.content_id DESC;

-- name: read_watch_history(user_id, before, before_id, limit) -> rows
SELECT w.content_id, w.position_ms, coalesce(w.duration_ms, c.duration_ms, m.duration_ms) AS duration_ms, w.completed,
       w.version, w.updated_at, w.last_played_at, w.playback_session_id,
       coalesce(w.removed_at >= w.last_played_at, false) AS removed,
       NOT watch_is_low(w.position_ms, coalesce(w.duration_ms, c.duration_ms, m.duration_ms)) AS started,
       c.kind, c.title, c.slug, c.thumbnail_url, coalesce(c.duration_ms, m.duration_ms) AS content_duration_ms
  FROM user_watch_progress w
  JOIN published_content c ON c.id = w.content_id
  LEFT JOIN media_assets m ON m.id = c.media_id AND m.deleted_at IS NULL
 WHERE w.user_id = $1 AND w.version > 0 AND (w.last_played_at, w.content_id) < ($2::timestamptz, $3::uuid)
 ORDER BY w.last_played_at DESC, w.content_id DESC
 LIMIT $4;

-- name: lock_one_watch_progress(user_id, content_id) -> value
-- Also of content that nobody may see any more: the row is still the person's own.
SELECT version FROM user_watch_progress WHERE user_id = $1 AND content_id = $2 FOR UPDATE;

-- name: remove_watch_progress(user_id, content_id) -> value
-- Answers the new version; NULL if it was removed before. Its row is locked. A play in this very moment may
-- be newer than now(), which is the transaction's start.
UPDATE user_watch_progress
   SET removed_at = greatest(now(), last_played_at), version = version + 1, updated_at = now()
 WHERE user_id = $1 AND content_id = $2 AND coalesce(removed_at < last_played_at, removed_at IS NULL)
RETURNING version;

-- name: undo_remove_watch_progress(user_id, content_id) -> value
UPDATE user_watch_progress SET removed_at = NULL, version = version + 1, updated_at = now()
 WHERE user_id = $1 AND content_id = $2 AND removed_at >= coalesce(last_played_at, removed_at)
RETURNING version;

-- name: mark_watched(user_id, content_id) -> value
-- The position stays. Nobody owns the row any more: who goes on playing must be newer than this.
UPDATE user_watch_progress w
   SET completed = true, marked_at = now(), playback_session_id = NULL, effective_at = greatest(w.effective_at, now()),
       duration_ms = coalesce(w.duration_ms, d.duration_ms), version = w.version + 1, updated_at = now()
  FROM (SELECT (SELECT coalesce(nullif(c.duration_ms, 0), nullif(m.duration_ms, 0))
                  FROM published_content c LEFT JOIN media_assets m ON m.id = c.media_id AND m.deleted_at IS NULL
                 WHERE c.id = $2) AS duration_ms) d
 WHERE w.user_id = $1 AND w.content_id = $2 AND NOT w.completed
RETURNING w.version;

-- name: mark_unwatched(user_id, content_id) -> value
-- What was marked by hand is again as it was before; what was played to its end begins anew.
UPDATE user_watch_progress
   SET completed = false, position_ms = CASE WHEN marked_at IS NULL THEN 0 ELSE position_ms END, marked_at = NULL,
       playback_session_id = NULL, effective_at = greatest(effective_at, now()), version = version + 1, updated_at = now()
 WHERE user_id = $1 AND content_id = $2 AND completed
RETURNING version;

-- name: silence_playback_sessions(user_id, content_id) -> none
-- The sessions of content that was marked by hand: they keep the numbers that they have seen, so that a retry stays
-- one, and what they say within the next minute (that the player was closed, say) does not undo the mark.
UPDATE playback_sessions
   SET heard = '{}', start_seq = NULL, start_at = NULL, last_at = NULL, user_at = NULL, least_ms = NULL, most_ms = NULL,
       shortest_ms = NULL, seek_seq = NULL, seek_is_user = false, ending = NULL, marks = '{}',
       quiet_until = date_trunc('milliseconds', now()) + interval '60 seconds'
 WHERE user_id = $1 AND content_id = $2;

-- name: forget_playback_sessions(idle_s, limit) -> value
-- Answers how many. A session that another transaction writes right now is not old enough.
WITH gone AS (
    SELECT s.ctid
      FROM playback_sessions s
     WHERE s.created_at < now() - $1::double precision * interval '1 second'
       AND coalesce(upper(s.heard), s.quiet_until) < now() - $1::double precision * interval '1 second'
     ORDER BY s.created_at
     LIMIT $2
       FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM playback_sessions s USING gone WHERE s.ctid = gone.ctid RETURNING 1
)
SELECT count(*) FROM deleted;
