-- Content as everyone may see it. The lists differ in the index that they walk: an optional condition that is not
-- given must not cost the one that is.

-- name: read_published_content(content_id) -> row
SELECT * FROM content_cards WHERE id = $1;

-- name: read_published_content_by_slug(slug) -> row
SELECT * FROM content_cards WHERE slug = $1;

-- name: list_published_content(before_at, before_id, limit) -> rows
SELECT * FROM content_cards
 WHERE (published_at, id) < ($1, $2)
 ORDER BY published_at DESC, id DESC
 LIMIT $3;

-- name: list_published_content_of_kind(kind, before_at, before_id, limit) -> rows
SELECT * FROM content_cards
 WHERE kind = $1 AND (published_at, id) < ($2, $3)
 ORDER BY published_at DESC, id DESC
 LIMIT $4;

-- name: list_published_content_of_game(game_id, kind, team_id, tag, before_at, before_id, limit) -> rows
SELECT * FROM content_cards
 WHERE game_id = $1
   AND ($2::text IS NULL OR kind = $2)
   AND ($3::uuid IS NULL OR team_ids @> ARRAY[$3])
   AND ($4::text IS NULL OR tags @> ARRAY[$4])
   AND (published_at, id) < ($5, $6)
 ORDER BY published_at DESC, id DESC
 LIMIT $7;

-- name: list_published_content_of_team(team_id, kind, tag, before_at, before_id, limit) -> rows
SELECT * FROM content_cards
 WHERE team_ids @> ARRAY[$1::uuid]
   AND ($2::text IS NULL OR kind = $2)
   AND ($3::text IS NULL OR tags @> ARRAY[$3])
   AND (published_at, id) < ($4, $5)
 ORDER BY published_at DESC, id DESC
 LIMIT $6;

-- name: list_published_content_of_tag(tag, kind, before_at, before_id, limit) -> rows
SELECT * FROM content_cards
 WHERE tags @> ARRAY[$1::text]
   AND ($2::text IS NULL OR kind = $2)
   AND (published_at, id) < ($3, $4)
 ORDER BY published_at DESC, id DESC
 LIMIT $5;

-- name: is_published_stream(content_id) -> value
SELECT EXISTS (SELECT FROM published_content WHERE id = $1 AND kind = 'live');
