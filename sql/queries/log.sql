-- The channel log. See csn_rt/db/log.py for its rules.

-- name: append_events(channels, data, is_kept) -> rows
-- One row per event in the order given. The heads are moved in the order of their names, so that two transactions
-- cannot wait for each other.
WITH event AS (
    SELECT e.channel, e.data, e.is_kept, e.ordinality,
           row_number() OVER (PARTITION BY e.channel ORDER BY e.ordinality) AS n,
           count(*) OVER (PARTITION BY e.channel) AS total
      FROM unnest($1::text[], $2::text[], $3::boolean[]) WITH ORDINALITY AS e (channel, data, is_kept, ordinality)
), moved AS (
    INSERT INTO channels AS c (channel, head)
    SELECT channel, max(total) FROM event GROUP BY channel ORDER BY channel
        ON CONFLICT (channel) DO UPDATE SET head = c.head + excluded.head
    RETURNING c.channel, c.epoch, c.head
), numbered AS (
    SELECT e.ordinality, e.channel, m.epoch, m.head - e.total + e.n AS "offset", e.data, e.is_kept
      FROM event e JOIN moved m USING (channel)
), kept AS (
    INSERT INTO channel_log (channel, "offset", data)
    SELECT channel, "offset", data::json FROM numbered WHERE is_kept ORDER BY ordinality
)
SELECT channel, epoch, "offset" FROM numbered ORDER BY ordinality;

-- name: ensure_channels(channels) -> rows
-- Answers only the channels that were born by this call.
INSERT INTO channels (channel)
SELECT name FROM unnest($1::text[]) AS name ORDER BY name
    ON CONFLICT (channel) DO NOTHING
RETURNING channel, epoch, head;

-- name: lock_channels(channels) -> none
-- Makes what is not there and locks what is, in one pass in the order of the names: two passes could deadlock with
-- each other. A row that is not updated is locked all the same, and no new version of it is written.
INSERT INTO channels AS c (channel)
SELECT name FROM unnest($1::text[]) AS name ORDER BY name
    ON CONFLICT (channel) DO UPDATE SET head = c.head WHERE false;

-- name: lock_born_channels(channels) -> rows
-- A row that had to be waited for is read again, as it is now. The time is taken after the last lock: the outer
-- query sees a row only when all are locked, because they are sorted in between.
SELECT channel, epoch, head, clock_timestamp() AS now
  FROM (SELECT * FROM (SELECT channel, epoch, head
                         FROM channels
                        WHERE channel = ANY ($1::text[])
                        ORDER BY channel
                          FOR UPDATE) AS locked
         ORDER BY channel DESC) AS sorted;

-- name: read_heads(channels) -> rows
-- clock_timestamp(), not now(): under a lock, the time must be later than that of whoever held it before.
SELECT channel, epoch, head, clock_timestamp() AS now FROM channels WHERE channel = ANY ($1::text[]);

-- name: read_events_after(channel, offset, limit) -> rows
SELECT c.epoch, l."offset", l.data, l.redacts
  FROM channel_log l JOIN channels c USING (channel)
 WHERE l.channel = $1 AND l."offset" > $2
 ORDER BY l."offset"
 LIMIT $3;

-- name: read_events_before(channel, offset, limit) -> rows
SELECT c.epoch, l."offset", l.data, l.redacts
  FROM channel_log l JOIN channels c USING (channel)
 WHERE l.channel = $1 AND l."offset" < $2
 ORDER BY l."offset" DESC
 LIMIT $3;

-- name: redact_events(channel, offset, redacts) -> none
-- The event at `offset` takes the data of earlier ones away: each is replaced by its own.
WITH redacting AS (
    UPDATE channel_log SET redacts = $3::bigint[]
     WHERE channel = $1 AND "offset" = $2
    RETURNING data
)
UPDATE channel_log l SET data = r.data
  FROM redacting r
 WHERE l.channel = $1 AND l."offset" = ANY ($3::bigint[]);
