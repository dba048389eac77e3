-- Who does which job. See csn_rt/worker.py for its rules.

-- name: take_jobs(names) -> rows
-- The lock is the session's: asked for again it would have to be given back as often, so ask for what is not held.
SELECT name FROM unnest($1::text[]) AS name
 WHERE pg_try_advisory_lock(hashtextextended('csn_rt job ' || name, 0));
