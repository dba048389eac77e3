-- What of channel_log is kept, and where. See csn_rt/features/retention.py for its rules.

-- name: make_log_partition(number, hours) -> value
-- The number counts from the present one, which is 0. Whether it was made.
SELECT make_channel_log_partition(span.first, span.first + make_interval(hours => $2))
  FROM (SELECT date_bin(make_interval(hours => $2), now(), '2000-01-01 00:00:00+00')
               + $1::integer * make_interval(hours => $2) AS first) AS span;

-- name: find_old_log_partitions(kept_s) -> rows
-- Those that end before the oldest event to be kept. The bounds are asked of the catalog, not of the names: both
-- may have been made by another version of the program. The default partition has no bounds.
SELECT name
  FROM (SELECT inhrelid::regclass::text AS name,
               (regexp_match(pg_get_expr(relpartbound, oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz AS until
          FROM pg_inherits JOIN pg_class ON oid = inhrelid
         WHERE inhparent = 'channel_log'::regclass) AS partition
 WHERE until <= now() - make_interval(secs => $1)
 ORDER BY until;

-- name: drop_log_partition(name) -> none
SELECT drop_channel_log_partition($1);

-- name: delete_stray_events(kept_s, limit) -> value
-- Old events for whose time there was no partition; answers how many.
WITH deleted AS (
    DELETE FROM channel_log_default
     WHERE ctid = ANY (ARRAY(SELECT ctid FROM channel_log_default
                              WHERE at < now() - make_interval(secs => $1)
                              ORDER BY at
                              LIMIT $2))
    RETURNING 1
)
SELECT count(*) FROM deleted;
