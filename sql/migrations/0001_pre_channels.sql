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
CREATE INDEX channel_log_default_by_time ON channel_log_default (at);

-- Partitions come and go while people talk. ATTACH locks the parent less than CREATE … PARTITION OF does; a partition
-- cannot be detached concurrently where there is a default one. So both ask for their locks briefly and give up,
-- rather than stand in a queue that makes every writer behind them wait.
CREATE FUNCTION make_channel_log_partition(first timestamptz, until timestamptz) RETURNS boolean
    LANGUAGE plpgsql SET lock_timeout = '300ms' AS $$
DECLARE
    name text := 'channel_log_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMMDDHH24');
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE channel_log INCLUDING ALL)', name);
    EXECUTE format('COMMENT ON TABLE %I IS %L', name, 'Events of channel_log from ' || first || ' until ' || until || '.');
    EXECUTE format('ALTER TABLE channel_log ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, first, until);
    RETURN true;
EXCEPTION WHEN check_violation OR invalid_object_definition THEN
    -- Events of that time are in the default partition already, where they stay until they are old; or a part of
    -- that time has a partition, made by a version of the program that cut it differently.
    RETURN false;
END
$$;
COMMENT ON FUNCTION make_channel_log_partition(timestamptz, timestamptz) IS 'Makes the partition of channel_log for that time; answers whether it did. Gives up with an error when it cannot have its locks soon.';

CREATE FUNCTION drop_channel_log_partition(name text) RETURNS void
    LANGUAGE plpgsql SET lock_timeout = '300ms' AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(name) AND inhparent = 'channel_log'::regclass) THEN
        RAISE EXCEPTION '% is no partition of channel_log', name USING ERRCODE = 'undefined_table';
    END IF;
    EXECUTE format('DROP TABLE %s', to_regclass(name));
END
$$;
COMMENT ON FUNCTION drop_channel_log_partition(text) IS 'Drops that partition of channel_log with all its events. Gives up with an error when it cannot have its locks soon.';
