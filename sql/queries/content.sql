-- Content as everyone may see it.

-- name: find_published_content(content_id, slug, kind, game_id, team_id, tag, before_at, before_id, limit) -> rows
-- One item (by id or slug) or a page, newest publication first, each with its media, game and teams: one statement.
-- Only one branch of `picked` runs, the one with the narrowest index for what was asked: a condition on parameters
-- alone is checked once, before its branch is read. The rest of the filters apply to the rows of that index.
WITH picked AS (
    (SELECT id, true AS is_whole FROM published_content WHERE id = $1::uuid)
    UNION ALL
    (SELECT id, true FROM published_content WHERE slug = $2::text)
    UNION ALL
    (SELECT id, false FROM published_content
      WHERE $1::uuid IS NULL AND $2::text IS NULL
        AND $3::text IS NULL AND $4::uuid IS NULL AND $5::uuid IS NULL AND $6::text IS NULL
        AND (published_at, id) < (coalesce($7::timestamptz, 'infinity'), coalesce($8::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
      ORDER BY published_at DESC, id DESC LIMIT $9)
    UNION ALL
    (SELECT id, false FROM published_content
      WHERE $4::uuid IS NULL AND $5::uuid IS NULL AND $6::text IS NULL
        AND kind = $3::text
        AND (published_at, id) < (coalesce($7::timestamptz, 'infinity'), coalesce($8::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
      ORDER BY published_at DESC, id DESC LIMIT $9)
    UNION ALL
    (SELECT id, false FROM published_content
      WHERE game_id = $4::uuid
        AND ($3::text IS NULL OR kind = $3) AND ($5::uuid IS NULL OR team_ids @> ARRAY[$5]) AND ($6::text IS NULL OR tags @> ARRAY[$6])
        AND (published_at, id) < (coalesce($7::timestamptz, 'infinity'), coalesce($8::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
      ORDER BY published_at DESC, id DESC LIMIT $9)
    UNION ALL
    (SELECT id, false FROM published_content
      WHERE $4::uuid IS NULL
        AND team_ids @> ARRAY[$5::uuid]
        AND ($3::text IS NULL OR kind = $3) AND ($6::text IS NULL OR tags @> ARRAY[$6])
        AND (published_at, id) < (coalesce($7::timestamptz, 'infinity'), coalesce($8::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
      ORDER BY published_at DESC, id DESC LIMIT $9)
    UNION ALL
    (SELECT id, false FROM published_content
      WHERE $4::uuid IS NULL AND $5::uuid IS NULL
        AND tags @> ARRAY[$6::text]
        AND ($3::text IS NULL OR kind = $3)
        AND (published_at, id) < (coalesce($7::timestamptz, 'infinity'), coalesce($8::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
      ORDER BY published_at DESC, id DESC LIMIT $9)
)
SELECT c.id, c.kind, c.title, c.slug, c.tags, c.thumbnail_url, c.live_state, c.published_at, c.version, c.updated_at,
       coalesce(c.duration_ms, m.duration_ms) AS duration_ms,
       CASE WHEN p.is_whole THEN c.description END AS description,
       CASE WHEN p.is_whole AND m.playable THEN m.playback_url END AS playback_url,
       CASE WHEN m.id IS NOT NULL THEN
           json_build_object('id', m.id, 'mime', m.mime, 'bytes', m.bytes, 'playable', m.playable) END AS media,
       CASE WHEN g.id IS NOT NULL THEN
           json_build_object(
               'id', g.id, 'sport', g.sport, 'state', g.state, 'starts_at', g.starts_at, 'venue', g.venue,
               'home', json_build_object('id', h.id, 'name', h.name, 'short_name', h.short_name, 'logo_url', h.logo_url),
               'away', json_build_object('id', a.id, 'name', a.name, 'short_name', a.short_name, 'logo_url', a.logo_url),
               'home_score', g.home_score, 'away_score', g.away_score) END AS game,
       (SELECT coalesce(json_agg(json_build_object(
                   'id', t.id, 'name', t.name, 'short_name', t.short_name, 'logo_url', t.logo_url) ORDER BY wanted.n), '[]')
          FROM unnest(c.team_ids) WITH ORDINALITY AS wanted (team_id, n)
          JOIN teams t ON t.id = wanted.team_id AND t.deleted_at IS NULL) AS teams
  FROM picked p
  JOIN published_content c USING (id)
  LEFT JOIN media_assets m ON m.id = c.media_id AND m.deleted_at IS NULL
  LEFT JOIN games g ON g.id = c.game_id AND g.deleted_at IS NULL
  LEFT JOIN teams h ON h.id = g.home_team_id
  LEFT JOIN teams a ON a.id = g.away_team_id
 ORDER BY c.published_at DESC, c.id DESC;
