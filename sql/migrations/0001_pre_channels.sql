-- Channels: heads and the log of events.

CREATE TABLE channels (
    channel text PRIMARY KEY CHECK (char_length(channel) BETWEEN 1 AND 255),
    epoch   text NOT NULL DEFAULT translate(substr(md5(random()::text), 1, 8), '0123456789', 'ghijklmnop'),
    head    bigint NOT NULL DEFAULT 0 CHECK (head >= 0)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
COMMENT ON TABLE channels IS 'One row per channel that was ever subscribed to or spoken on: where its numbering stands.';
COMMENT ON COLUMN channels.channel IS 'The name that clients subscribe to, e.g. stream:<id>:chat.';
COMMENT ON COLUMN channels.epoch IS 'Eight random letters: the life of this numbering. A client that comes with another epoch cannot be recovered.';
COMMENT ON COLUMN channels.head IS 'Offset of the newest event; 0 at birth. Its row lock orders the writers of the channel.';

CREATE TABLE channel_log (
    channel  text NOT NULL,
    "offset" bigint NOT NULL CHECK ("offset" > 0),
    data     json NOT NULL,
    redacts  bigint[],
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (channel, "offset", at)
) PARTITION BY RANGE (at);
COMMENT ON TABLE channel_log IS 'Events of log channels, for recovery and repair; partitions by time, dropped whole when they are old.';
COMMENT ON COLUMN channel_log.channel IS 'The channel that the event was told on.';
COMMENT ON COLUMN channel_log."offset" IS 'The event''s number in its channel: 1, 2, 3 … without holes.';
COMMENT ON COLUMN channel_log.data IS 'The event as it is pushed, byte for byte (json keeps the text as it was given).';
COMMENT ON COLUMN channel_log.redacts IS 'Earlier offsets whose data this event replaced by its own; null for most.';
COMMENT ON COLUMN channel_log.at IS 'Start of the transaction that told it; decides the partition.';

CREATE TABLE channel_log_default PARTITION OF channel_log DEFAULT;
COMMENT ON TABLE channel_log_default IS 'Events for whose time no partition was made: writing never waits for the worker.';
COMMENT ON COLUMN channel_log_default.channel IS 'As in channel_log.';
COMMENT ON COLUMN channel_log_default."offset" IS 'As in channel_log.';
COMMENT ON COLUMN channel_log_default.data IS 'As in channel_log.';
COMMENT ON COLUMN channel_log_default.redacts IS 'As in channel_log.';
COMMENT ON COLUMN channel_log_default.at IS 'As in channel_log.';
