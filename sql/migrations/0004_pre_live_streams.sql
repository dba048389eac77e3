-- Live streams: their broadcasts, who watched them and how many at a time.

CREATE TABLE live_broadcasts (
    id              uuid PRIMARY KEY,
    stream_id       uuid NOT NULL REFERENCES content (id) ON DELETE CASCADE,
    started_at      timestamptz NOT NULL DEFAULT now(),
    started_by      text NOT NULL,
    ended_at        timestamptz,
    ended_by        text,
    seq             bigint NOT NULL CHECK (seq >= 0),
    peak_viewers    integer NOT NULL DEFAULT 0 CHECK (peak_viewers >= 0),
    average_viewers double precision CHECK (average_viewers >= 0),
    unique_viewers  integer CHECK (unique_viewers >= 0),
    watch_minutes   double precision CHECK (watch_minutes >= 0),
    CHECK (ended_at >= started_at),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CHECK ((ended_at IS NULL) = (average_viewers IS NULL)),
    CHECK ((ended_at IS NULL) = (unique_viewers IS NULL)),
    CHECK ((ended_at IS NULL) = (watch_minutes IS NULL))
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX live_broadcasts_on_air ON live_broadcasts (stream_id) WHERE ended_at IS NULL;
CREATE INDEX live_broadcasts_by_stream ON live_broadcasts (stream_id, started_at DESC);
COMMENT ON TABLE live_broadcasts IS 'One row per broadcast: from a stream.start to its stream.end. Once ended it is the record of the end. Numbers of viewers hang here, so a new start begins at 0.';
COMMENT ON COLUMN live_broadcasts.id IS 'UUIDv7; content.broadcast_id points here.';
COMMENT ON COLUMN live_broadcasts.stream_id IS 'The content of kind live that was broadcast.';
COMMENT ON COLUMN live_broadcasts.started_at IS 'When it went on air.';
COMMENT ON COLUMN live_broadcasts.started_by IS 'User id of whoever started it.';
COMMENT ON COLUMN live_broadcasts.ended_at IS 'When it went off air; NULL: it is on air. At most one of a stream is.';
COMMENT ON COLUMN live_broadcasts.ended_by IS 'User id of whoever ended it.';
COMMENT ON COLUMN live_broadcasts.seq IS 'Number of the last push of viewers that a start or an end made; pushes of one stream are in the order of their numbers, over all its broadcasts.';
COMMENT ON COLUMN live_broadcasts.peak_viewers IS 'The most viewers at one time: so far of the samples, after the end of every count.';
COMMENT ON COLUMN live_broadcasts.average_viewers IS 'Viewers at a time, weighted by time; known at the end.';
COMMENT ON COLUMN live_broadcasts.unique_viewers IS 'How many persons watched; known at the end.';
COMMENT ON COLUMN live_broadcasts.watch_minutes IS 'Playing time of all sessions together, in minutes; known at the end.';

CREATE TABLE live_stream_sessions (
    id                uuid PRIMARY KEY,
    broadcast_id      uuid NOT NULL REFERENCES live_broadcasts (id) ON DELETE CASCADE,
    person            text NOT NULL CHECK (person ~ '^[ua]:.' AND char_length(person) <= 300),
    device_id         text CHECK (char_length(device_id) BETWEEN 1 AND 100),
    node              text NOT NULL,
    state             text NOT NULL CHECK (state IN ('playing', 'paused')),
    paused_at         timestamptz,
    started_at        timestamptz NOT NULL DEFAULT now(),
    last_heartbeat_at timestamptz NOT NULL DEFAULT now(),
    ended_at          timestamptz,
    end_reason        text CHECK (end_reason IN ('left', 'lost', 'stream_ended')),
    watched_ms        bigint NOT NULL DEFAULT 0 CHECK (watched_ms >= 0),
    CHECK (state = 'paused' OR paused_at IS NULL),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
-- A heartbeat changes no indexed column, so it leaves the indexes alone.
CREATE INDEX live_stream_sessions_open ON live_stream_sessions (broadcast_id) WHERE ended_at IS NULL;
CREATE INDEX live_stream_sessions_by_broadcast ON live_stream_sessions (broadcast_id, person);
COMMENT ON TABLE live_stream_sessions IS 'One row per watch session: somebody with a player on one broadcast. Counts of viewers at a time are not made from it, see csn_rt/bus/leases.py.';
COMMENT ON COLUMN live_stream_sessions.id IS 'UUIDv7, given to the player.';
COMMENT ON COLUMN live_stream_sessions.broadcast_id IS 'The broadcast that is watched.';
COMMENT ON COLUMN live_stream_sessions.person IS 'u:<user id> or a:<anonymous id>; two sessions of one person are one viewer.';
COMMENT ON COLUMN live_stream_sessions.device_id IS 'What the player calls the device; NULL: it did not say.';
COMMENT ON COLUMN live_stream_sessions.node IS 'The node that heard of it last.';
COMMENT ON COLUMN live_stream_sessions.state IS 'playing or paused, by the last heartbeat.';
COMMENT ON COLUMN live_stream_sessions.paused_at IS 'Since when it is paused; NULL: it plays, or it never played.';
COMMENT ON COLUMN live_stream_sessions.started_at IS 'When it began.';
COMMENT ON COLUMN live_stream_sessions.last_heartbeat_at IS 'When the player was heard last.';
COMMENT ON COLUMN live_stream_sessions.ended_at IS 'When it ended; NULL: open.';
COMMENT ON COLUMN live_stream_sessions.end_reason IS 'left: the player said so; lost: not heard for too long, ended at its last heartbeat; stream_ended.';
COMMENT ON COLUMN live_stream_sessions.watched_ms IS 'Time that it played. What lies between two heartbeats counts up to the length of a lease.';

CREATE TABLE live_viewer_samples (
    broadcast_id uuid NOT NULL REFERENCES live_broadcasts (id) ON DELETE CASCADE,
    at           timestamptz NOT NULL DEFAULT now(),
    viewers      integer NOT NULL CHECK (viewers >= 0),
    sessions     integer NOT NULL CHECK (sessions >= 0),
    life         bigint NOT NULL,
    viewer_ms    bigint NOT NULL CHECK (viewer_ms >= 0),
    PRIMARY KEY (broadcast_id, at)
);
COMMENT ON TABLE live_viewer_samples IS 'How many watched, every 10 s while live and once at the end: for charts and for the average.';
COMMENT ON COLUMN live_viewer_samples.broadcast_id IS 'The broadcast.';
COMMENT ON COLUMN live_viewer_samples.at IS 'When it was counted.';
COMMENT ON COLUMN live_viewer_samples.viewers IS 'Distinct persons watching.';
COMMENT ON COLUMN live_viewer_samples.sessions IS 'Watch sessions that count.';
COMMENT ON COLUMN live_viewer_samples.life IS 'The life of the counting, as the time of its beginning in microseconds; a loss of Redis begins a new one.';
COMMENT ON COLUMN live_viewer_samples.viewer_ms IS 'Viewers times milliseconds since the beginning of that life: the difference of two samples, divided by the time between them, is the exact average.';
