-- Watch progress: one row per person and content, and what each playback session has said.

CREATE FUNCTION watch_is_low(position_ms bigint, duration_ms bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN position_ms * 100 < least(3 * duration_ms, 12000000);
COMMENT ON FUNCTION watch_is_low IS 'Whether a position is below *started*: 3 % of the duration, 120 s at most or if the duration is not known.';

CREATE FUNCTION watch_is_complete(position_ms bigint, duration_ms bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(duration_ms - position_ms <= greatest(15000, least(duration_ms / 20, 180000)), false);
COMMENT ON FUNCTION watch_is_complete IS 'Whether what remains is so little that it counts as watched: 5 %, but never less than 15 s or more than 180 s.';

CREATE TYPE playback_mark AS (seq bigint, position_ms bigint, duration_ms bigint, effective_at timestamptz);
COMMENT ON TYPE playback_mark IS 'A place that a playback session reported.';
COMMENT ON COLUMN playback_mark.seq IS 'Number of the report.';
COMMENT ON COLUMN playback_mark.position_ms IS 'Where it was.';
COMMENT ON COLUMN playback_mark.duration_ms IS 'How long the content is, by the player or else by the catalog; NULL: not known.';
COMMENT ON COLUMN playback_mark.effective_at IS 'When it was there: the arrival of the report less its age.';

CREATE TABLE user_watch_progress (
    user_id             text NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 200),
    content_id          uuid NOT NULL REFERENCES content (id) ON DELETE CASCADE,
    position_ms         bigint NOT NULL DEFAULT 0 CHECK (position_ms >= 0),
    duration_ms         bigint CHECK (duration_ms > 0),
    completed           boolean NOT NULL DEFAULT false,
    playback_session_id text,
    effective_at        timestamptz,
    last_played_at      timestamptz,
    removed_at          timestamptz,
    marked_at           timestamptz,
    version             bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, content_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
-- No index on last_played_at: every heartbeat changes it, and without one the change stays within the row's page.
-- What one person has watched is found by the primary key and is little enough to be sorted.
CREATE INDEX user_watch_progress_by_content ON user_watch_progress (content_id);
COMMENT ON TABLE user_watch_progress IS 'How far each person has watched each content. Its row lock orders the sessions that report.';
COMMENT ON COLUMN user_watch_progress.user_id IS 'The person, by the token''s sub.';
COMMENT ON COLUMN user_watch_progress.content_id IS 'What is watched: a video or clip, never a live stream.';
COMMENT ON COLUMN user_watch_progress.position_ms IS 'Where to go on; it stays where it was when the content is completed.';
COMMENT ON COLUMN user_watch_progress.duration_ms IS 'How long the content is, as of the report that the position is from; NULL: not known.';
COMMENT ON COLUMN user_watch_progress.completed IS 'Watched to the end, or marked as watched.';
COMMENT ON COLUMN user_watch_progress.playback_session_id IS 'The owner: the session that the position comes from. NULL: marked by hand, or version 0.';
COMMENT ON COLUMN user_watch_progress.effective_at IS 'How new the row is: when the newest report of its owner happened, or when it was marked by hand.';
COMMENT ON COLUMN user_watch_progress.last_played_at IS 'When the position was reached; lists are in this order. NULL: never played.';
COMMENT ON COLUMN user_watch_progress.removed_at IS 'When it was taken off "Continue watching"; counts until it is played again. NULL: never, or undone.';
COMMENT ON COLUMN user_watch_progress.marked_at IS 'When it was marked as watched without having been watched to the end; NULL: by playing, or not completed.';
COMMENT ON COLUMN user_watch_progress.version IS 'Goes up by one whenever somebody could see a difference; 0: the content was opened, nothing is stored yet.';
COMMENT ON COLUMN user_watch_progress.created_at IS 'When the content was opened first.';
COMMENT ON COLUMN user_watch_progress.updated_at IS 'When the version went up last.';

CREATE TABLE playback_sessions (
    user_id             text NOT NULL,
    content_id          uuid NOT NULL,
    playback_session_id text NOT NULL CHECK (char_length(playback_session_id) BETWEEN 1 AND 64),
    seen                int8multirange NOT NULL,
    heard               tstzmultirange NOT NULL,
    start_seq           bigint,
    start_at            timestamptz,
    last_at             timestamptz,
    user_at             timestamptz,
    least_ms            bigint,
    most_ms             bigint,
    shortest_ms         bigint,
    seek_seq            bigint,
    seek_is_user        boolean NOT NULL DEFAULT false,
    ending              playback_mark,
    marks               playback_mark[] NOT NULL DEFAULT '{}',
    quiet_until         timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, content_id, playback_session_id),
    FOREIGN KEY (user_id, content_id) REFERENCES user_watch_progress ON DELETE CASCADE
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX playback_sessions_by_age ON playback_sessions (created_at);
COMMENT ON TABLE playback_sessions IS 'What each playback session has said, as far as it can still matter for its progress. Written under the lock of the user_watch_progress row.';
COMMENT ON COLUMN playback_sessions.user_id IS 'The person who watches.';
COMMENT ON COLUMN playback_sessions.content_id IS 'What is watched.';
COMMENT ON COLUMN playback_sessions.playback_session_id IS 'The player''s own name of this playback.';
COMMENT ON COLUMN playback_sessions.seen IS 'Numbers of the reports that came: one range while none is missing.';
COMMENT ON COLUMN playback_sessions.heard IS 'From each report to 30 s after it: a hole is a silence, which closed the session where it was.';
COMMENT ON COLUMN playback_sessions.start_seq IS 'Number of its start; NULL: it was not heard, or not since the content was marked by hand.';
COMMENT ON COLUMN playback_sessions.start_at IS 'When it began: nothing of the session happened before.';
COMMENT ON COLUMN playback_sessions.last_at IS 'When the newest report happened, starts not counted.';
COMMENT ON COLUMN playback_sessions.user_at IS 'When a person acted last, starts not counted; NULL: never.';
COMMENT ON COLUMN playback_sessions.least_ms IS 'The lowest position that was reported.';
COMMENT ON COLUMN playback_sessions.most_ms IS 'The highest position that was reported.';
COMMENT ON COLUMN playback_sessions.shortest_ms IS 'The shortest duration that it named, by which positions near the start are judged; NULL: none.';
COMMENT ON COLUMN playback_sessions.seek_seq IS 'Number of the newest seek that counts; NULL: none.';
COMMENT ON COLUMN playback_sessions.seek_is_user IS 'Whether a person made that seek.';
COMMENT ON COLUMN playback_sessions.ending IS 'The completion with the highest number; NULL: none.';
COMMENT ON COLUMN playback_sessions.marks IS 'Reports since the newest seek or completion after which none came that is as far: ever later, ever less far.';
COMMENT ON COLUMN playback_sessions.quiet_until IS 'What happened up to then does not count, because a person marked the content by hand; NULL: all counts.';
COMMENT ON COLUMN playback_sessions.created_at IS 'When its first report arrived.';
