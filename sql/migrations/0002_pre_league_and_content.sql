-- League data and content: teams, players, games, media assets, and the videos and streams that people watch.

CREATE TABLE teams (
    id         uuid PRIMARY KEY,
    name       text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    short_name text NOT NULL CHECK (char_length(short_name) BETWEEN 1 AND 20),
    sport      text NOT NULL CHECK (char_length(sport) BETWEEN 1 AND 60),
    city       text CHECK (char_length(city) <= 200),
    logo_url   text CHECK (char_length(logo_url) <= 2000),
    version    integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_by text,
    updated_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX teams_by_name ON teams (name, id) WHERE deleted_at IS NULL;
COMMENT ON TABLE teams IS 'The teams of the league.';
COMMENT ON COLUMN teams.id IS 'UUIDv7.';
COMMENT ON COLUMN teams.name IS 'Full name, e.g. Harbour City Gulls.';
COMMENT ON COLUMN teams.short_name IS 'What fits a score board, e.g. HCG.';
COMMENT ON COLUMN teams.sport IS 'What they play, e.g. ice hockey.';
COMMENT ON COLUMN teams.city IS 'Where they are at home.';
COMMENT ON COLUMN teams.logo_url IS 'Address of the logo.';
COMMENT ON COLUMN teams.version IS 'Goes up by one with every change; a change names the version that it was made on.';
COMMENT ON COLUMN teams.created_by IS 'User id of whoever made the row; NULL: sample or imported data.';
COMMENT ON COLUMN teams.updated_by IS 'User id of whoever changed the row last.';
COMMENT ON COLUMN teams.created_at IS 'When the row was made.';
COMMENT ON COLUMN teams.updated_at IS 'When the row was changed last.';
COMMENT ON COLUMN teams.deleted_at IS 'When it was deleted; the row stays so that it can be restored. NULL: it lives.';

CREATE TABLE players (
    id         uuid PRIMARY KEY,
    team_id    uuid REFERENCES teams (id),
    name       text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    number     smallint CHECK (number BETWEEN 0 AND 999),
    position   text CHECK (char_length(position) <= 60),
    photo_url  text CHECK (char_length(photo_url) <= 2000),
    version    integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_by text,
    updated_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX players_by_team ON players (team_id, name, id) WHERE deleted_at IS NULL;
CREATE INDEX players_by_name ON players (name, id) WHERE deleted_at IS NULL;
COMMENT ON TABLE players IS 'The people who play: athletes, not viewers.';
COMMENT ON COLUMN players.id IS 'UUIDv7.';
COMMENT ON COLUMN players.team_id IS 'The team that they play for now; NULL: none.';
COMMENT ON COLUMN players.name IS 'Name as it is announced.';
COMMENT ON COLUMN players.number IS 'Number on the shirt.';
COMMENT ON COLUMN players.position IS 'Where they play, e.g. goalkeeper.';
COMMENT ON COLUMN players.photo_url IS 'Address of a portrait.';
COMMENT ON COLUMN players.version IS 'Goes up by one with every change; a change names the version that it was made on.';
COMMENT ON COLUMN players.created_by IS 'User id of whoever made the row; NULL: sample or imported data.';
COMMENT ON COLUMN players.updated_by IS 'User id of whoever changed the row last.';
COMMENT ON COLUMN players.created_at IS 'When the row was made.';
COMMENT ON COLUMN players.updated_at IS 'When the row was changed last.';
COMMENT ON COLUMN players.deleted_at IS 'When it was deleted; the row stays so that it can be restored. NULL: it lives.';

CREATE TABLE games (
    id           uuid PRIMARY KEY,
    sport        text NOT NULL CHECK (char_length(sport) BETWEEN 1 AND 60),
    home_team_id uuid NOT NULL REFERENCES teams (id),
    away_team_id uuid NOT NULL REFERENCES teams (id),
    starts_at    timestamptz NOT NULL,
    venue        text CHECK (char_length(venue) <= 200),
    state        text NOT NULL DEFAULT 'scheduled' CHECK (state IN ('scheduled', 'playing', 'final', 'postponed', 'cancelled')),
    home_score   integer CHECK (home_score >= 0),
    away_score   integer CHECK (away_score >= 0),
    version      integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_by   text,
    updated_by   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    deleted_at   timestamptz,
    CHECK (home_team_id <> away_team_id),
    CHECK ((home_score IS NULL) = (away_score IS NULL))
);
CREATE INDEX games_by_start ON games (starts_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX games_by_home_team ON games (home_team_id, starts_at DESC) WHERE deleted_at IS NULL;
CREATE INDEX games_by_away_team ON games (away_team_id, starts_at DESC) WHERE deleted_at IS NULL;
COMMENT ON TABLE games IS 'Matches between two teams.';
COMMENT ON COLUMN games.id IS 'UUIDv7.';
COMMENT ON COLUMN games.sport IS 'What is played, e.g. ice hockey.';
COMMENT ON COLUMN games.home_team_id IS 'The team that is at home.';
COMMENT ON COLUMN games.away_team_id IS 'The team that visits.';
COMMENT ON COLUMN games.starts_at IS 'When it begins or began.';
COMMENT ON COLUMN games.venue IS 'Where it is played.';
COMMENT ON COLUMN games.state IS 'How far it is: scheduled, playing, final, postponed or cancelled.';
COMMENT ON COLUMN games.home_score IS 'Points of the home team; NULL: nothing was reported.';
COMMENT ON COLUMN games.away_score IS 'Points of the visitors; NULL exactly when home_score is.';
COMMENT ON COLUMN games.version IS 'Goes up by one with every change; a change names the version that it was made on.';
COMMENT ON COLUMN games.created_by IS 'User id of whoever made the row; NULL: sample or imported data.';
COMMENT ON COLUMN games.updated_by IS 'User id of whoever changed the row last.';
COMMENT ON COLUMN games.created_at IS 'When the row was made.';
COMMENT ON COLUMN games.updated_at IS 'When the row was changed last.';
COMMENT ON COLUMN games.deleted_at IS 'When it was deleted; the row stays so that it can be restored. NULL: it lives.';

CREATE TABLE media_assets (
    id           uuid PRIMARY KEY,
    name         text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 300),
    mime         text NOT NULL CHECK (mime ~ '^[a-z]+/[a-z0-9][a-z0-9.+-]{0,126}$'),
    folder       text NOT NULL DEFAULT '' CHECK (char_length(folder) <= 500),
    state        text NOT NULL DEFAULT 'pending_upload'
                 CHECK (state IN ('pending_upload', 'uploading', 'processing', 'ready', 'failed')),
    playable     boolean NOT NULL DEFAULT false,
    progress_pct smallint NOT NULL DEFAULT 0 CHECK (progress_pct BETWEEN 0 AND 100),
    error        text CHECK (char_length(error) <= 500),
    bytes        bigint CHECK (bytes >= 0),
    checksum     text CHECK (char_length(checksum) <= 200),
    duration_ms  bigint CHECK (duration_ms >= 0),
    playback_url text CHECK (char_length(playback_url) <= 2000),
    version      integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_by   text,
    updated_by   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    deleted_at   timestamptz,
    CHECK ((state = 'failed') = (error IS NOT NULL))
);
CREATE INDEX media_assets_by_time ON media_assets (created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX media_assets_by_folder ON media_assets (folder, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX media_assets_unfinished ON media_assets (created_at) WHERE state IN ('pending_upload', 'uploading', 'processing');
COMMENT ON TABLE media_assets IS 'Uploaded files: what they are, how far they are, and where they play.';
COMMENT ON COLUMN media_assets.id IS 'UUIDv7.';
COMMENT ON COLUMN media_assets.name IS 'File name as it was uploaded.';
COMMENT ON COLUMN media_assets.mime IS 'Media type, e.g. video/mp4.';
COMMENT ON COLUMN media_assets.folder IS 'Plain path that admins sort by; empty: the top.';
COMMENT ON COLUMN media_assets.state IS 'pending_upload, uploading, processing, then ready or failed; it never moves back.';
COMMENT ON COLUMN media_assets.playable IS 'Whether it can be watched; content with it may be published then.';
COMMENT ON COLUMN media_assets.progress_pct IS 'How much of the present step is done, 0 to 100.';
COMMENT ON COLUMN media_assets.error IS 'Why it failed, e.g. upload_timeout; NULL unless state is failed.';
COMMENT ON COLUMN media_assets.bytes IS 'Size of the file; NULL: not known yet.';
COMMENT ON COLUMN media_assets.checksum IS 'Checksum of the file with its method, e.g. sha256:…; NULL: not known yet.';
COMMENT ON COLUMN media_assets.duration_ms IS 'How long it plays; NULL: not known yet.';
COMMENT ON COLUMN media_assets.playback_url IS 'Where it plays; relative for files that this server holds itself. NULL: not known yet.';
COMMENT ON COLUMN media_assets.version IS 'Goes up by one with every change; a change names the version that it was made on.';
COMMENT ON COLUMN media_assets.created_by IS 'User id of the uploader; NULL: sample or imported data.';
COMMENT ON COLUMN media_assets.updated_by IS 'User id of whoever changed the row last.';
COMMENT ON COLUMN media_assets.created_at IS 'When the row was made.';
COMMENT ON COLUMN media_assets.updated_at IS 'When the row was changed last.';
COMMENT ON COLUMN media_assets.deleted_at IS 'When it was deleted; the row stays so that it can be restored. NULL: it lives.';

CREATE TABLE content (
    id                 uuid PRIMARY KEY,
    kind               text NOT NULL CHECK (kind IN ('vod', 'live', 'clip')),
    state              text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'scheduled', 'published', 'archived')),
    publish_at         timestamptz,
    publish_when_ready boolean NOT NULL DEFAULT false,
    title              text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 200),
    slug               text NOT NULL CHECK (char_length(slug) <= 120 AND slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    description        text NOT NULL DEFAULT '' CHECK (char_length(description) <= 10000),
    media_id           uuid REFERENCES media_assets (id),
    game_id            uuid REFERENCES games (id),
    team_ids           uuid[] NOT NULL DEFAULT '{}' CHECK (cardinality(team_ids) <= 50),
    player_ids         uuid[] NOT NULL DEFAULT '{}' CHECK (cardinality(player_ids) <= 100),
    tags               text[] NOT NULL DEFAULT '{}' CHECK (cardinality(tags) <= 50),
    thumbnail_url      text CHECK (char_length(thumbnail_url) <= 2000),
    duration_ms        bigint CHECK (duration_ms >= 0),
    live_state         text CHECK (live_state IN ('scheduled', 'live', 'ended')),
    broadcast_id       uuid,
    hide_viewer_count  boolean NOT NULL DEFAULT false,
    created_by         text,
    updated_by         text,
    published_by       text,
    version            integer NOT NULL DEFAULT 1 CHECK (version > 0),
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    published_at       timestamptz,
    archived_at        timestamptz,
    deleted_at         timestamptz,
    CHECK (state <> 'scheduled' OR (publish_at IS NOT NULL AND published_at IS NULL)),
    CHECK (state <> 'published' OR published_at IS NOT NULL),
    CHECK ((state = 'archived') = (archived_at IS NOT NULL)),
    CHECK ((kind = 'live') = (live_state IS NOT NULL)),
    CHECK (kind = 'live' OR broadcast_id IS NULL),
    CHECK (live_state <> 'live' OR broadcast_id IS NOT NULL)
);
CREATE UNIQUE INDEX content_slug_of_the_living ON content (slug) WHERE deleted_at IS NULL;
-- Lists of what everyone may see, newest first; the conditions are implied by those of the view published_content.
CREATE INDEX content_listed ON content ((coalesce(published_at, publish_at)) DESC, id DESC)
    WHERE deleted_at IS NULL AND state IN ('published', 'scheduled');
CREATE INDEX content_listed_by_kind ON content (kind, (coalesce(published_at, publish_at)) DESC, id DESC)
    WHERE deleted_at IS NULL AND state IN ('published', 'scheduled');
CREATE INDEX content_listed_by_game ON content (game_id, (coalesce(published_at, publish_at)) DESC, id DESC)
    WHERE deleted_at IS NULL AND state IN ('published', 'scheduled');
CREATE INDEX content_by_team ON content USING gin (team_ids);
CREATE INDEX content_by_player ON content USING gin (player_ids);
CREATE INDEX content_by_tag ON content USING gin (tags);
CREATE INDEX content_by_media ON content (media_id);
CREATE INDEX content_by_game ON content (game_id);
CREATE INDEX content_by_change ON content (updated_at DESC, id DESC);
CREATE INDEX content_due ON content (publish_at) WHERE deleted_at IS NULL AND state = 'scheduled';
CREATE INDEX content_on_air ON content (id) WHERE live_state = 'live';
COMMENT ON TABLE content IS 'What people watch: videos, clips and live streams. A live stream is content of kind live; its id is the stream id.';
COMMENT ON COLUMN content.id IS 'UUIDv7; for kind live also the stream id in channel names.';
COMMENT ON COLUMN content.kind IS 'vod: a whole recording, live: a stream, clip: a short piece.';
COMMENT ON COLUMN content.state IS 'draft, scheduled, published, archived. Who may see it: see the view published_content.';
COMMENT ON COLUMN content.publish_at IS 'When a scheduled item is to be published; reads treat a due one as published.';
COMMENT ON COLUMN content.publish_when_ready IS 'Publish by itself as soon as the media asset is playable.';
COMMENT ON COLUMN content.title IS 'Title as it is shown.';
COMMENT ON COLUMN content.slug IS 'Name in addresses, unique among what is not deleted.';
COMMENT ON COLUMN content.description IS 'Plain text; empty: none.';
COMMENT ON COLUMN content.media_id IS 'The file that plays; NULL: none yet, or a live stream.';
COMMENT ON COLUMN content.game_id IS 'The game that it shows; NULL: none in particular.';
COMMENT ON COLUMN content.team_ids IS 'Teams that it is about, in the order of importance. Deleted teams are left out when it is read.';
COMMENT ON COLUMN content.player_ids IS 'Players that it is about, in the order of importance.';
COMMENT ON COLUMN content.tags IS 'Words to find it by, in lower case.';
COMMENT ON COLUMN content.thumbnail_url IS 'Address of a still picture.';
COMMENT ON COLUMN content.duration_ms IS 'How long it plays, where that is known better than by the media asset; NULL: ask the asset.';
COMMENT ON COLUMN content.live_state IS 'scheduled, live or ended; NULL exactly when kind is not live.';
COMMENT ON COLUMN content.broadcast_id IS 'The present broadcast, else the last one; each stream.start makes a new one.';
COMMENT ON COLUMN content.hide_viewer_count IS 'Show the number of viewers to moderators only.';
COMMENT ON COLUMN content.created_by IS 'User id of whoever made it; NULL: sample or imported data.';
COMMENT ON COLUMN content.updated_by IS 'User id of whoever changed it last.';
COMMENT ON COLUMN content.published_by IS 'User id of whoever published or scheduled it.';
COMMENT ON COLUMN content.version IS 'Goes up by one with every change; a change names the version that it was made on.';
COMMENT ON COLUMN content.created_at IS 'When the row was made.';
COMMENT ON COLUMN content.updated_at IS 'When the row was changed last.';
COMMENT ON COLUMN content.published_at IS 'When it was published; of a scheduled item that came due: its publish_at. NULL while scheduled.';
COMMENT ON COLUMN content.archived_at IS 'When it was taken out of sight for good; NULL unless state is archived.';
COMMENT ON COLUMN content.deleted_at IS 'When it was deleted; the row stays so that it can be restored. NULL: it lives.';

CREATE VIEW published_content AS
SELECT id, kind, title, slug, description, media_id, game_id, team_ids, player_ids, tags, thumbnail_url, duration_ms,
       live_state, broadcast_id, hide_viewer_count, version, created_at, updated_at,
       coalesce(published_at, publish_at) AS published_at
  FROM content
 WHERE deleted_at IS NULL
   AND (state = 'published' OR (state = 'scheduled' AND publish_at <= now()));
COMMENT ON VIEW published_content IS 'What everyone may see right now: published, or scheduled and due, so that a late worker is not late.';
COMMENT ON COLUMN published_content.id IS 'As in content.';
COMMENT ON COLUMN published_content.kind IS 'As in content.';
COMMENT ON COLUMN published_content.title IS 'As in content.';
COMMENT ON COLUMN published_content.slug IS 'As in content.';
COMMENT ON COLUMN published_content.description IS 'As in content.';
COMMENT ON COLUMN published_content.media_id IS 'As in content.';
COMMENT ON COLUMN published_content.game_id IS 'As in content.';
COMMENT ON COLUMN published_content.team_ids IS 'As in content.';
COMMENT ON COLUMN published_content.player_ids IS 'As in content.';
COMMENT ON COLUMN published_content.tags IS 'As in content.';
COMMENT ON COLUMN published_content.thumbnail_url IS 'As in content.';
COMMENT ON COLUMN published_content.duration_ms IS 'As in content.';
COMMENT ON COLUMN published_content.live_state IS 'As in content.';
COMMENT ON COLUMN published_content.broadcast_id IS 'As in content.';
COMMENT ON COLUMN published_content.hide_viewer_count IS 'As in content.';
COMMENT ON COLUMN published_content.version IS 'As in content.';
COMMENT ON COLUMN published_content.created_at IS 'As in content.';
COMMENT ON COLUMN published_content.updated_at IS 'As in content.';
COMMENT ON COLUMN published_content.published_at IS 'When it was published or came due; lists are in this order, newest first.';

CREATE VIEW content_cards AS
SELECT c.id, c.kind, c.title, c.slug, c.description, c.game_id, c.team_ids, c.tags, c.thumbnail_url, c.live_state,
       c.version, c.updated_at, c.published_at,
       coalesce(c.duration_ms, media.duration_ms) AS duration_ms, media.playback_url, media.brief AS media,
       game.brief AS game, teams.briefs AS teams
  FROM published_content c
  -- LIMIT 1 keeps these joins what they are for a page of a list: look-ups by primary key, one per row that is shown.
  LEFT JOIN LATERAL (
      SELECT m.duration_ms, CASE WHEN m.playable THEN m.playback_url END AS playback_url,
             json_build_object('id', m.id, 'mime', m.mime, 'bytes', m.bytes, 'playable', m.playable) AS brief
        FROM media_assets m
       WHERE m.id = c.media_id AND m.deleted_at IS NULL
       LIMIT 1) media ON true
  LEFT JOIN LATERAL (
      SELECT json_build_object(
                 'id', g.id, 'sport', g.sport, 'state', g.state, 'starts_at', g.starts_at, 'venue', g.venue,
                 'home', json_build_object('id', h.id, 'name', h.name, 'short_name', h.short_name, 'logo_url', h.logo_url),
                 'away', json_build_object('id', a.id, 'name', a.name, 'short_name', a.short_name, 'logo_url', a.logo_url),
                 'home_score', g.home_score, 'away_score', g.away_score) AS brief
        FROM games g JOIN teams h ON h.id = g.home_team_id JOIN teams a ON a.id = g.away_team_id
       WHERE g.id = c.game_id AND g.deleted_at IS NULL
       LIMIT 1) game ON true
 CROSS JOIN LATERAL (
      SELECT coalesce(json_agg(json_build_object('id', t.id, 'name', t.name, 'short_name', t.short_name, 'logo_url', t.logo_url)
                               ORDER BY array_position(c.team_ids, t.id)), '[]') AS briefs
        FROM teams t
       WHERE t.id = ANY (c.team_ids) AND t.deleted_at IS NULL) teams;
COMMENT ON VIEW content_cards IS 'Published content with what is shown beside it: media facts, game and teams, so that a list is one statement.';
COMMENT ON COLUMN content_cards.id IS 'As in content.';
COMMENT ON COLUMN content_cards.kind IS 'As in content.';
COMMENT ON COLUMN content_cards.title IS 'As in content.';
COMMENT ON COLUMN content_cards.slug IS 'As in content.';
COMMENT ON COLUMN content_cards.description IS 'As in content.';
COMMENT ON COLUMN content_cards.game_id IS 'As in content.';
COMMENT ON COLUMN content_cards.team_ids IS 'As in content.';
COMMENT ON COLUMN content_cards.tags IS 'As in content.';
COMMENT ON COLUMN content_cards.thumbnail_url IS 'As in content.';
COMMENT ON COLUMN content_cards.live_state IS 'As in content.';
COMMENT ON COLUMN content_cards.version IS 'As in content.';
COMMENT ON COLUMN content_cards.updated_at IS 'As in content.';
COMMENT ON COLUMN content_cards.published_at IS 'As in published_content.';
COMMENT ON COLUMN content_cards.duration_ms IS 'How long it plays, by the content or else by its media asset.';
COMMENT ON COLUMN content_cards.playback_url IS 'Where it plays; NULL while nothing playable is known.';
COMMENT ON COLUMN content_cards.media IS 'Facts of the media asset as JSON; NULL: none, or deleted.';
COMMENT ON COLUMN content_cards.game IS 'The game with both teams as JSON; NULL: none, or deleted.';
COMMENT ON COLUMN content_cards.teams IS 'The teams of team_ids as JSON, in that order, without deleted ones.';
