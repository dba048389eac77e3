-- The whole schema, for reading: what sql/migrations add up to. Databases are made by `csn-rt migrate`, not
-- by this file. It is written by `python -m tests.support.schema`, and a test compares the two.


CREATE TYPE playback_mark AS (
	seq bigint,
	position_ms bigint,
	duration_ms bigint,
	effective_at timestamp with time zone
);

CREATE FUNCTION drop_channel_log_partition(name text) RETURNS void
    LANGUAGE plpgsql
    SET lock_timeout TO '300ms'
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(name) AND inhparent = 'channel_log'::regclass) THEN
        RAISE EXCEPTION '% is no partition of channel_log', name USING ERRCODE = 'undefined_table';
    END IF;
    EXECUTE format('DROP TABLE %s', to_regclass(name));
END
$$;

CREATE FUNCTION make_channel_log_partition(first timestamp with time zone, until timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    SET lock_timeout TO '300ms'
    AS $$
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

CREATE FUNCTION refuse_audit_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION watch_is_complete(position_ms bigint, duration_ms bigint) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN COALESCE(((duration_ms - position_ms) <= GREATEST((15000)::bigint, LEAST((duration_ms / 20), (180000)::bigint))), false);

CREATE FUNCTION watch_is_low(position_ms bigint, duration_ms bigint) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((position_ms * 100) < LEAST((3 * duration_ms), (12000000)::bigint));

COMMENT ON TYPE playback_mark IS 'A place that a playback session reported.';
COMMENT ON COLUMN playback_mark.seq IS 'Number of the report.';
COMMENT ON COLUMN playback_mark.position_ms IS 'Where it was.';
COMMENT ON COLUMN playback_mark.duration_ms IS 'How long the content is, by the player or else by the catalog; NULL: not known.';
COMMENT ON COLUMN playback_mark.effective_at IS 'When it was there: the arrival of the report less its age.';
COMMENT ON FUNCTION drop_channel_log_partition(name text) IS 'Drops that partition of channel_log with all its events. Gives up with an error when it cannot have its locks soon.';
COMMENT ON FUNCTION make_channel_log_partition(first timestamp with time zone, until timestamp with time zone) IS 'Makes the partition of channel_log for that time; answers whether it did. Gives up with an error when it cannot have its locks soon.';
COMMENT ON FUNCTION refuse_audit_change() IS 'Refuses every change of an entry of the audit log, whoever asks.';
COMMENT ON FUNCTION watch_is_complete(position_ms bigint, duration_ms bigint) IS 'Whether what remains is so little that it counts as watched: 5 %, but never less than 15 s or more than 180 s.';
COMMENT ON FUNCTION watch_is_low(position_ms bigint, duration_ms bigint) IS 'Whether a position is below *started*: 3 % of the duration, 120 s at most or if the duration is not known.';


CREATE TABLE channel_log (
    channel text NOT NULL,
    "offset" bigint NOT NULL,
    data json NOT NULL,
    redacts bigint[],
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT channel_log_offset_check CHECK (("offset" > 0))
)
PARTITION BY RANGE (at);

ALTER TABLE ONLY channel_log
    ADD CONSTRAINT channel_log_pkey PRIMARY KEY (channel, "offset", at);

COMMENT ON TABLE channel_log IS 'Events of log channels, for recovery and repair; partitions by time, dropped whole when they are old.';
COMMENT ON COLUMN channel_log.channel IS 'The channel that the event was told on.';
COMMENT ON COLUMN channel_log."offset" IS 'The event''s number in its channel: 1, 2, 3 … without holes.';
COMMENT ON COLUMN channel_log.data IS 'The event as it is pushed, byte for byte (json keeps the text as it was given).';
COMMENT ON COLUMN channel_log.redacts IS 'Earlier offsets whose data this event replaced by its own; null for most.';
COMMENT ON COLUMN channel_log.at IS 'Start of the transaction that told it; decides the partition.';


CREATE TABLE channel_log_default (
    channel text CONSTRAINT channel_log_channel_not_null NOT NULL,
    "offset" bigint CONSTRAINT channel_log_offset_not_null NOT NULL,
    data json CONSTRAINT channel_log_data_not_null NOT NULL,
    redacts bigint[],
    at timestamp with time zone DEFAULT now() CONSTRAINT channel_log_at_not_null NOT NULL,
    CONSTRAINT channel_log_offset_check CHECK (("offset" > 0))
);

ALTER TABLE ONLY channel_log_default
    ADD CONSTRAINT channel_log_default_pkey PRIMARY KEY (channel, "offset", at);

CREATE INDEX channel_log_default_by_time ON channel_log_default USING btree (at);

COMMENT ON TABLE channel_log_default IS 'Events for whose time no partition was made: writing never waits for the worker.';
COMMENT ON COLUMN channel_log_default.channel IS 'As in channel_log.';
COMMENT ON COLUMN channel_log_default."offset" IS 'As in channel_log.';
COMMENT ON COLUMN channel_log_default.data IS 'As in channel_log.';
COMMENT ON COLUMN channel_log_default.redacts IS 'As in channel_log.';
COMMENT ON COLUMN channel_log_default.at IS 'As in channel_log.';


CREATE TABLE channels (
    channel text NOT NULL,
    epoch text DEFAULT translate(substr(md5((random())::text), 1, 8), '0123456789'::text, 'ghijklmnop'::text) NOT NULL,
    head bigint DEFAULT 0 NOT NULL,
    CONSTRAINT channels_channel_check CHECK (((char_length(channel) >= 1) AND (char_length(channel) <= 255))),
    CONSTRAINT channels_head_check CHECK ((head >= 0))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0.02');

ALTER TABLE ONLY channels
    ADD CONSTRAINT channels_pkey PRIMARY KEY (channel);

COMMENT ON TABLE channels IS 'One row per channel that was ever subscribed to or spoken on: where its numbering stands.';
COMMENT ON COLUMN channels.channel IS 'The name that clients subscribe to, e.g. stream:<id>:chat.';
COMMENT ON COLUMN channels.epoch IS 'Eight random letters: the life of this numbering. A client that comes with another epoch cannot be recovered.';
COMMENT ON COLUMN channels.head IS 'Offset of the newest event; 0 at birth. Its row lock orders the writers of the channel.';


CREATE TABLE content (
    id uuid NOT NULL,
    kind text NOT NULL,
    state text DEFAULT 'draft'::text NOT NULL,
    publish_at timestamp with time zone,
    publish_when_ready boolean DEFAULT false NOT NULL,
    title text NOT NULL,
    slug text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    media_id uuid,
    game_id uuid,
    team_ids uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    player_ids uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    thumbnail_url text,
    duration_ms bigint,
    live_state text,
    broadcast_id uuid,
    hide_viewer_count boolean DEFAULT false NOT NULL,
    created_by text,
    updated_by text,
    published_by text,
    version integer DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    published_at timestamp with time zone,
    archived_at timestamp with time zone,
    deleted_at timestamp with time zone,
    CONSTRAINT content_check CHECK (((state <> 'scheduled'::text) OR ((publish_at IS NOT NULL) AND (published_at IS NULL)))),
    CONSTRAINT content_check1 CHECK (((state <> 'published'::text) OR (published_at IS NOT NULL))),
    CONSTRAINT content_check2 CHECK (((state = 'archived'::text) = (archived_at IS NOT NULL))),
    CONSTRAINT content_check3 CHECK (((kind = 'live'::text) = (live_state IS NOT NULL))),
    CONSTRAINT content_check4 CHECK (((kind = 'live'::text) OR (broadcast_id IS NULL))),
    CONSTRAINT content_check5 CHECK (((live_state <> 'live'::text) OR (broadcast_id IS NOT NULL))),
    CONSTRAINT content_description_check CHECK ((char_length(description) <= 10000)),
    CONSTRAINT content_duration_ms_check CHECK ((duration_ms >= 0)),
    CONSTRAINT content_kind_check CHECK ((kind = ANY (ARRAY['vod'::text, 'live'::text, 'clip'::text]))),
    CONSTRAINT content_live_state_check CHECK ((live_state = ANY (ARRAY['scheduled'::text, 'live'::text, 'ended'::text]))),
    CONSTRAINT content_player_ids_check CHECK ((cardinality(player_ids) <= 100)),
    CONSTRAINT content_slug_check CHECK (((char_length(slug) <= 120) AND (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'::text))),
    CONSTRAINT content_state_check CHECK ((state = ANY (ARRAY['draft'::text, 'scheduled'::text, 'published'::text, 'archived'::text]))),
    CONSTRAINT content_tags_check CHECK ((cardinality(tags) <= 50)),
    CONSTRAINT content_team_ids_check CHECK ((cardinality(team_ids) <= 50)),
    CONSTRAINT content_thumbnail_url_check CHECK ((char_length(thumbnail_url) <= 2000)),
    CONSTRAINT content_title_check CHECK (((char_length(title) >= 1) AND (char_length(title) <= 200))),
    CONSTRAINT content_version_check CHECK ((version > 0))
);

ALTER TABLE ONLY content
    ADD CONSTRAINT content_pkey PRIMARY KEY (id);

CREATE INDEX content_by_change ON content USING btree (updated_at DESC, id DESC);

CREATE INDEX content_by_game ON content USING btree (game_id);

CREATE INDEX content_by_media ON content USING btree (media_id);

CREATE INDEX content_by_player ON content USING gin (player_ids);

CREATE INDEX content_by_tag ON content USING gin (tags);

CREATE INDEX content_by_team ON content USING gin (team_ids);

CREATE INDEX content_due ON content USING btree (publish_at) WHERE ((deleted_at IS NULL) AND (state = 'scheduled'::text));

CREATE INDEX content_listed ON content USING btree (COALESCE(published_at, publish_at) DESC, id DESC) WHERE ((deleted_at IS NULL) AND (state = ANY (ARRAY['published'::text, 'scheduled'::text])));

CREATE INDEX content_listed_by_game ON content USING btree (game_id, COALESCE(published_at, publish_at) DESC, id DESC) WHERE ((deleted_at IS NULL) AND (state = ANY (ARRAY['published'::text, 'scheduled'::text])));

CREATE INDEX content_listed_by_kind ON content USING btree (kind, COALESCE(published_at, publish_at) DESC, id DESC) WHERE ((deleted_at IS NULL) AND (state = ANY (ARRAY['published'::text, 'scheduled'::text])));

CREATE INDEX content_on_air ON content USING btree (id) WHERE (live_state = 'live'::text);

CREATE UNIQUE INDEX content_slug_of_the_living ON content USING btree (slug) WHERE (deleted_at IS NULL);

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


CREATE TABLE content_audit_log (
    id uuid NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    actor_type text NOT NULL,
    actor_id text NOT NULL,
    actor_name text,
    action text NOT NULL,
    entity text NOT NULL,
    entity_id text NOT NULL,
    version integer,
    changed text[] DEFAULT '{}'::text[] NOT NULL,
    before jsonb,
    after jsonb,
    reason text,
    request_id text DEFAULT ''::text NOT NULL,
    ip text DEFAULT ''::text NOT NULL,
    user_agent text DEFAULT ''::text NOT NULL,
    via text NOT NULL,
    CONSTRAINT content_audit_log_action_check CHECK (((char_length(action) >= 1) AND (char_length(action) <= 100))),
    CONSTRAINT content_audit_log_actor_id_check CHECK ((char_length(actor_id) <= 200)),
    CONSTRAINT content_audit_log_actor_type_check CHECK ((actor_type = ANY (ARRAY['user'::text, 'anonymous'::text, 'system'::text]))),
    CONSTRAINT content_audit_log_entity_check CHECK (((char_length(entity) >= 1) AND (char_length(entity) <= 100))),
    CONSTRAINT content_audit_log_entity_id_check CHECK (((char_length(entity_id) >= 1) AND (char_length(entity_id) <= 200))),
    CONSTRAINT content_audit_log_via_check CHECK ((via = ANY (ARRAY['websocket'::text, 'http'::text, 'internal'::text])))
);

ALTER TABLE ONLY content_audit_log
    ADD CONSTRAINT content_audit_log_pkey PRIMARY KEY (id);

CREATE INDEX content_audit_log_by_action ON content_audit_log USING btree (action, at DESC, id DESC);

CREATE INDEX content_audit_log_by_actor ON content_audit_log USING btree (actor_id, at DESC, id DESC);

CREATE INDEX content_audit_log_by_entity ON content_audit_log USING btree (entity, entity_id, at DESC, id DESC);

CREATE INDEX content_audit_log_by_time ON content_audit_log USING btree (at DESC, id DESC);

CREATE TRIGGER content_audit_log_append_only BEFORE DELETE OR UPDATE ON content_audit_log FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();

CREATE TRIGGER content_audit_log_no_truncate BEFORE TRUNCATE ON content_audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

COMMENT ON TABLE content_audit_log IS 'One row per deed: content, media, league data, chat moderation, settings, stream start and end, denied attempts. Append-only.';
COMMENT ON COLUMN content_audit_log.id IS 'UUIDv7.';
COMMENT ON COLUMN content_audit_log.at IS 'Start of the transaction of the change.';
COMMENT ON COLUMN content_audit_log.actor_type IS 'user, anonymous, or system for what the service does by itself.';
COMMENT ON COLUMN content_audit_log.actor_id IS 'User id of the actor.';
COMMENT ON COLUMN content_audit_log.actor_name IS 'Name as it was in the token at that time.';
COMMENT ON COLUMN content_audit_log.action IS 'The operation, e.g. content.publish.';
COMMENT ON COLUMN content_audit_log.entity IS 'What was acted on, e.g. content, media, chat_message, user.';
COMMENT ON COLUMN content_audit_log.entity_id IS 'Its id.';
COMMENT ON COLUMN content_audit_log.version IS 'Version of the entity after the change; NULL where it has none.';
COMMENT ON COLUMN content_audit_log.changed IS 'Names of the fields that changed, sorted.';
COMMENT ON COLUMN content_audit_log.before IS 'Those fields before the change; NULL for a creation.';
COMMENT ON COLUMN content_audit_log.after IS 'Those fields after the change; NULL for a removal.';
COMMENT ON COLUMN content_audit_log.reason IS 'What the actor gave as the reason.';
COMMENT ON COLUMN content_audit_log.request_id IS 'Id of the request, as in the server''s log.';
COMMENT ON COLUMN content_audit_log.ip IS 'Address that the call came from; empty: none.';
COMMENT ON COLUMN content_audit_log.user_agent IS 'What the client called itself; empty: it did not say.';
COMMENT ON COLUMN content_audit_log.via IS 'Way of the call: websocket, http or internal.';


CREATE TABLE games (
    id uuid NOT NULL,
    sport text NOT NULL,
    home_team_id uuid NOT NULL,
    away_team_id uuid NOT NULL,
    starts_at timestamp with time zone NOT NULL,
    venue text,
    state text DEFAULT 'scheduled'::text NOT NULL,
    home_score integer,
    away_score integer,
    version integer DEFAULT 1 NOT NULL,
    created_by text,
    updated_by text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT games_away_score_check CHECK ((away_score >= 0)),
    CONSTRAINT games_check CHECK ((home_team_id <> away_team_id)),
    CONSTRAINT games_check1 CHECK (((home_score IS NULL) = (away_score IS NULL))),
    CONSTRAINT games_home_score_check CHECK ((home_score >= 0)),
    CONSTRAINT games_sport_check CHECK (((char_length(sport) >= 1) AND (char_length(sport) <= 60))),
    CONSTRAINT games_state_check CHECK ((state = ANY (ARRAY['scheduled'::text, 'playing'::text, 'final'::text, 'postponed'::text, 'cancelled'::text]))),
    CONSTRAINT games_venue_check CHECK ((char_length(venue) <= 200)),
    CONSTRAINT games_version_check CHECK ((version > 0))
);

ALTER TABLE ONLY games
    ADD CONSTRAINT games_pkey PRIMARY KEY (id);

CREATE INDEX games_by_away_team ON games USING btree (away_team_id, starts_at DESC) WHERE (deleted_at IS NULL);

CREATE INDEX games_by_home_team ON games USING btree (home_team_id, starts_at DESC) WHERE (deleted_at IS NULL);

CREATE INDEX games_by_start ON games USING btree (starts_at DESC, id DESC) WHERE (deleted_at IS NULL);

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
    id uuid NOT NULL,
    name text NOT NULL,
    mime text NOT NULL,
    folder text DEFAULT ''::text NOT NULL,
    state text DEFAULT 'pending_upload'::text NOT NULL,
    playable boolean DEFAULT false NOT NULL,
    progress_pct smallint DEFAULT 0 NOT NULL,
    error text,
    bytes bigint,
    checksum text,
    duration_ms bigint,
    playback_url text,
    version integer DEFAULT 1 NOT NULL,
    created_by text,
    updated_by text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT media_assets_bytes_check CHECK ((bytes >= 0)),
    CONSTRAINT media_assets_check CHECK (((state = 'failed'::text) = (error IS NOT NULL))),
    CONSTRAINT media_assets_checksum_check CHECK ((char_length(checksum) <= 200)),
    CONSTRAINT media_assets_duration_ms_check CHECK ((duration_ms >= 0)),
    CONSTRAINT media_assets_error_check CHECK ((char_length(error) <= 500)),
    CONSTRAINT media_assets_folder_check CHECK ((char_length(folder) <= 500)),
    CONSTRAINT media_assets_mime_check CHECK ((mime ~ '^[a-z]+/[a-z0-9][a-z0-9.+-]{0,126}$'::text)),
    CONSTRAINT media_assets_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 300))),
    CONSTRAINT media_assets_playback_url_check CHECK ((char_length(playback_url) <= 2000)),
    CONSTRAINT media_assets_progress_pct_check CHECK (((progress_pct >= 0) AND (progress_pct <= 100))),
    CONSTRAINT media_assets_state_check CHECK ((state = ANY (ARRAY['pending_upload'::text, 'uploading'::text, 'processing'::text, 'ready'::text, 'failed'::text]))),
    CONSTRAINT media_assets_version_check CHECK ((version > 0))
);

ALTER TABLE ONLY media_assets
    ADD CONSTRAINT media_assets_pkey PRIMARY KEY (id);

CREATE INDEX media_assets_by_folder ON media_assets USING btree (folder, created_at DESC, id DESC) WHERE (deleted_at IS NULL);

CREATE INDEX media_assets_by_time ON media_assets USING btree (created_at DESC, id DESC) WHERE (deleted_at IS NULL);

CREATE INDEX media_assets_unfinished ON media_assets USING btree (created_at) WHERE (state = ANY (ARRAY['pending_upload'::text, 'uploading'::text, 'processing'::text]));

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


CREATE TABLE teams (
    id uuid NOT NULL,
    name text NOT NULL,
    short_name text NOT NULL,
    sport text NOT NULL,
    city text,
    logo_url text,
    version integer DEFAULT 1 NOT NULL,
    created_by text,
    updated_by text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT teams_city_check CHECK ((char_length(city) <= 200)),
    CONSTRAINT teams_logo_url_check CHECK ((char_length(logo_url) <= 2000)),
    CONSTRAINT teams_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 200))),
    CONSTRAINT teams_short_name_check CHECK (((char_length(short_name) >= 1) AND (char_length(short_name) <= 20))),
    CONSTRAINT teams_sport_check CHECK (((char_length(sport) >= 1) AND (char_length(sport) <= 60))),
    CONSTRAINT teams_version_check CHECK ((version > 0))
);

ALTER TABLE ONLY teams
    ADD CONSTRAINT teams_pkey PRIMARY KEY (id);

CREATE INDEX teams_by_name ON teams USING btree (name, id) WHERE (deleted_at IS NULL);

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


CREATE TABLE live_broadcasts (
    id uuid NOT NULL,
    stream_id uuid NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    started_by text NOT NULL,
    ended_at timestamp with time zone,
    ended_by text,
    seq bigint NOT NULL,
    peak_viewers integer DEFAULT 0 NOT NULL,
    average_viewers double precision,
    unique_viewers integer,
    watch_minutes double precision,
    CONSTRAINT live_broadcasts_average_viewers_check CHECK ((average_viewers >= (0)::double precision)),
    CONSTRAINT live_broadcasts_check CHECK ((ended_at >= started_at)),
    CONSTRAINT live_broadcasts_check1 CHECK (((ended_at IS NULL) = (ended_by IS NULL))),
    CONSTRAINT live_broadcasts_check2 CHECK (((ended_at IS NULL) = (average_viewers IS NULL))),
    CONSTRAINT live_broadcasts_check3 CHECK (((ended_at IS NULL) = (unique_viewers IS NULL))),
    CONSTRAINT live_broadcasts_check4 CHECK (((ended_at IS NULL) = (watch_minutes IS NULL))),
    CONSTRAINT live_broadcasts_peak_viewers_check CHECK ((peak_viewers >= 0)),
    CONSTRAINT live_broadcasts_seq_check CHECK ((seq >= 0)),
    CONSTRAINT live_broadcasts_unique_viewers_check CHECK ((unique_viewers >= 0)),
    CONSTRAINT live_broadcasts_watch_minutes_check CHECK ((watch_minutes >= (0)::double precision))
)
WITH (fillfactor='50');

ALTER TABLE ONLY live_broadcasts
    ADD CONSTRAINT live_broadcasts_pkey PRIMARY KEY (id);

CREATE INDEX live_broadcasts_by_stream ON live_broadcasts USING btree (stream_id, started_at DESC);

CREATE UNIQUE INDEX live_broadcasts_on_air ON live_broadcasts USING btree (stream_id) WHERE (ended_at IS NULL);

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


CREATE TABLE live_chat_messages (
    id uuid NOT NULL,
    stream_id uuid NOT NULL,
    sequence bigint,
    user_id text NOT NULL,
    user_name text NOT NULL,
    user_role text NOT NULL,
    avatar_url text,
    text text NOT NULL,
    status text DEFAULT 'visible'::text NOT NULL,
    client_id text NOT NULL,
    sent_at timestamp with time zone NOT NULL,
    removed_at timestamp with time zone,
    removed_by text,
    removal text,
    CONSTRAINT live_chat_messages_avatar_url_check CHECK ((char_length(avatar_url) <= 2000)),
    CONSTRAINT live_chat_messages_check CHECK (((status <> 'visible'::text) OR (sequence IS NOT NULL))),
    CONSTRAINT live_chat_messages_check1 CHECK (((status = ANY (ARRAY['deleted'::text, 'hidden'::text])) = (removed_at IS NOT NULL))),
    CONSTRAINT live_chat_messages_check2 CHECK (((removed_at IS NULL) = (removal IS NULL))),
    CONSTRAINT live_chat_messages_client_id_check CHECK (((char_length(client_id) >= 1) AND (char_length(client_id) <= 64))),
    CONSTRAINT live_chat_messages_removal_check CHECK ((removal = ANY (ARRAY['retraction'::text, 'deletion'::text, 'clearing'::text, 'restriction'::text]))),
    CONSTRAINT live_chat_messages_sequence_check CHECK ((sequence > 0)),
    CONSTRAINT live_chat_messages_status_check CHECK ((status = ANY (ARRAY['visible'::text, 'held'::text, 'denied'::text, 'expired'::text, 'deleted'::text, 'hidden'::text]))),
    CONSTRAINT live_chat_messages_text_check CHECK (((char_length(text) >= 1) AND (char_length(text) <= 500))),
    CONSTRAINT live_chat_messages_user_id_check CHECK (((char_length(user_id) >= 1) AND (char_length(user_id) <= 200))),
    CONSTRAINT live_chat_messages_user_name_check CHECK (((char_length(user_name) >= 1) AND (char_length(user_name) <= 200))),
    CONSTRAINT live_chat_messages_user_role_check CHECK ((user_role = ANY (ARRAY['user'::text, 'moderator'::text, 'admin'::text])))
);

ALTER TABLE ONLY live_chat_messages
    ADD CONSTRAINT live_chat_messages_in_order UNIQUE (stream_id, sequence);

ALTER TABLE ONLY live_chat_messages
    ADD CONSTRAINT live_chat_messages_once UNIQUE (user_id, client_id, stream_id);

ALTER TABLE ONLY live_chat_messages
    ADD CONSTRAINT live_chat_messages_pkey PRIMARY KEY (id);

COMMENT ON TABLE live_chat_messages IS 'Messages of the chats of live streams. Removed ones keep their text, for moderators and the audit.';
COMMENT ON COLUMN live_chat_messages.id IS 'UUIDv7.';
COMMENT ON COLUMN live_chat_messages.stream_id IS 'The live stream: content of kind live.';
COMMENT ON COLUMN live_chat_messages.sequence IS 'Place in the stream: the offset of its event on the stream''s chat channel. NULL: never shown to viewers.';
COMMENT ON COLUMN live_chat_messages.user_id IS 'The author: the sub of the token.';
COMMENT ON COLUMN live_chat_messages.user_name IS 'The author''s name as it was shown then.';
COMMENT ON COLUMN live_chat_messages.user_role IS 'The author''s role then.';
COMMENT ON COLUMN live_chat_messages.avatar_url IS 'The author''s picture then; NULL: none.';
COMMENT ON COLUMN live_chat_messages.text IS 'What was said: plain text in Unicode NFC, one line.';
COMMENT ON COLUMN live_chat_messages.status IS 'Viewers see only visible. held: awaits a moderator; denied, expired: was held and never shown; deleted: one message was removed; hidden: removed together with its author''s others.';
COMMENT ON COLUMN live_chat_messages.client_id IS 'The sender''s own key: a retry with the same key is the same message.';
COMMENT ON COLUMN live_chat_messages.sent_at IS 'When it was accepted; grows with sequence.';
COMMENT ON COLUMN live_chat_messages.removed_at IS 'When it was removed; NULL unless status is deleted or hidden.';
COMMENT ON COLUMN live_chat_messages.removed_by IS 'User id of whoever removed it; NULL: nobody did, or a rule.';
COMMENT ON COLUMN live_chat_messages.removal IS 'How it was removed: retraction by its author, deletion by a moderator, clearing of the chat, restriction of its author.';


CREATE TABLE live_stream_sessions (
    id uuid NOT NULL,
    broadcast_id uuid NOT NULL,
    person text NOT NULL,
    device_id text,
    node text NOT NULL,
    state text NOT NULL,
    paused_at timestamp with time zone,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    last_heartbeat_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    end_reason text,
    watched_ms bigint DEFAULT 0 NOT NULL,
    CONSTRAINT live_stream_sessions_check CHECK (((state = 'paused'::text) OR (paused_at IS NULL))),
    CONSTRAINT live_stream_sessions_check1 CHECK (((ended_at IS NULL) = (end_reason IS NULL))),
    CONSTRAINT live_stream_sessions_device_id_check CHECK (((char_length(device_id) >= 1) AND (char_length(device_id) <= 100))),
    CONSTRAINT live_stream_sessions_end_reason_check CHECK ((end_reason = ANY (ARRAY['left'::text, 'lost'::text, 'stream_ended'::text]))),
    CONSTRAINT live_stream_sessions_person_check CHECK (((person ~ '^[ua]:.'::text) AND (char_length(person) <= 300))),
    CONSTRAINT live_stream_sessions_state_check CHECK ((state = ANY (ARRAY['playing'::text, 'paused'::text]))),
    CONSTRAINT live_stream_sessions_watched_ms_check CHECK ((watched_ms >= 0))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.05');

ALTER TABLE ONLY live_stream_sessions
    ADD CONSTRAINT live_stream_sessions_pkey PRIMARY KEY (id);

CREATE INDEX live_stream_sessions_by_broadcast ON live_stream_sessions USING btree (broadcast_id, person);

CREATE INDEX live_stream_sessions_open ON live_stream_sessions USING btree (broadcast_id) WHERE (ended_at IS NULL);

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
    broadcast_id uuid NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    viewers integer NOT NULL,
    sessions integer NOT NULL,
    life bigint NOT NULL,
    viewer_ms bigint NOT NULL,
    CONSTRAINT live_viewer_samples_sessions_check CHECK ((sessions >= 0)),
    CONSTRAINT live_viewer_samples_viewer_ms_check CHECK ((viewer_ms >= 0)),
    CONSTRAINT live_viewer_samples_viewers_check CHECK ((viewers >= 0))
);

ALTER TABLE ONLY live_viewer_samples
    ADD CONSTRAINT live_viewer_samples_pkey PRIMARY KEY (broadcast_id, at);

COMMENT ON TABLE live_viewer_samples IS 'How many watched, every 10 s while live and once at the end: for charts and for the average.';
COMMENT ON COLUMN live_viewer_samples.broadcast_id IS 'The broadcast.';
COMMENT ON COLUMN live_viewer_samples.at IS 'When it was counted.';
COMMENT ON COLUMN live_viewer_samples.viewers IS 'Distinct persons watching.';
COMMENT ON COLUMN live_viewer_samples.sessions IS 'Watch sessions that count.';
COMMENT ON COLUMN live_viewer_samples.life IS 'The life of the counting, as the time of its beginning in microseconds; a loss of Redis begins a new one.';
COMMENT ON COLUMN live_viewer_samples.viewer_ms IS 'Viewers times milliseconds since the beginning of that life: the difference of two samples, divided by the time between them, is the exact average.';


CREATE TABLE playback_sessions (
    user_id text NOT NULL,
    content_id uuid NOT NULL,
    playback_session_id text NOT NULL,
    seen int8multirange NOT NULL,
    heard tstzmultirange NOT NULL,
    start_seq bigint,
    start_at timestamp with time zone,
    last_at timestamp with time zone,
    user_at timestamp with time zone,
    least_ms bigint,
    most_ms bigint,
    shortest_ms bigint,
    seek_seq bigint,
    seek_is_user boolean DEFAULT false NOT NULL,
    ending playback_mark,
    marks playback_mark[] DEFAULT '{}'::playback_mark[] NOT NULL,
    quiet_until timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT playback_sessions_playback_session_id_check CHECK (((char_length(playback_session_id) >= 1) AND (char_length(playback_session_id) <= 64)))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.05');

ALTER TABLE ONLY playback_sessions
    ADD CONSTRAINT playback_sessions_pkey PRIMARY KEY (user_id, content_id, playback_session_id);

CREATE INDEX playback_sessions_by_age ON playback_sessions USING btree (created_at);

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


CREATE TABLE players (
    id uuid NOT NULL,
    team_id uuid,
    name text NOT NULL,
    number smallint,
    "position" text,
    photo_url text,
    version integer DEFAULT 1 NOT NULL,
    created_by text,
    updated_by text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT players_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 200))),
    CONSTRAINT players_number_check CHECK (((number >= 0) AND (number <= 999))),
    CONSTRAINT players_photo_url_check CHECK ((char_length(photo_url) <= 2000)),
    CONSTRAINT players_position_check CHECK ((char_length("position") <= 60)),
    CONSTRAINT players_version_check CHECK ((version > 0))
);

ALTER TABLE ONLY players
    ADD CONSTRAINT players_pkey PRIMARY KEY (id);

CREATE INDEX players_by_name ON players USING btree (name, id) WHERE (deleted_at IS NULL);

CREATE INDEX players_by_team ON players USING btree (team_id, name, id) WHERE (deleted_at IS NULL);

COMMENT ON TABLE players IS 'The people who play: athletes, not viewers.';
COMMENT ON COLUMN players.id IS 'UUIDv7.';
COMMENT ON COLUMN players.team_id IS 'The team that they play for now; NULL: none.';
COMMENT ON COLUMN players.name IS 'Name as it is announced.';
COMMENT ON COLUMN players.number IS 'Number on the shirt.';
COMMENT ON COLUMN players."position" IS 'Where they play, e.g. goalkeeper.';
COMMENT ON COLUMN players.photo_url IS 'Address of a portrait.';
COMMENT ON COLUMN players.version IS 'Goes up by one with every change; a change names the version that it was made on.';
COMMENT ON COLUMN players.created_by IS 'User id of whoever made the row; NULL: sample or imported data.';
COMMENT ON COLUMN players.updated_by IS 'User id of whoever changed the row last.';
COMMENT ON COLUMN players.created_at IS 'When the row was made.';
COMMENT ON COLUMN players.updated_at IS 'When the row was changed last.';
COMMENT ON COLUMN players.deleted_at IS 'When it was deleted; the row stays so that it can be restored. NULL: it lives.';


CREATE TABLE schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT schema_migrations_version_check CHECK ((version > 0))
);

ALTER TABLE ONLY schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

COMMENT ON TABLE schema_migrations IS 'One row per file of sql/migrations that was applied here.';
COMMENT ON COLUMN schema_migrations.version IS 'The number at the head of the file''s name.';
COMMENT ON COLUMN schema_migrations.name IS 'The file''s name.';
COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of the file as it was applied; an applied file is never changed.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When its transaction began.';


CREATE TABLE user_watch_progress (
    user_id text NOT NULL,
    content_id uuid NOT NULL,
    position_ms bigint DEFAULT 0 NOT NULL,
    duration_ms bigint,
    completed boolean DEFAULT false NOT NULL,
    playback_session_id text,
    effective_at timestamp with time zone,
    last_played_at timestamp with time zone,
    removed_at timestamp with time zone,
    marked_at timestamp with time zone,
    version bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT user_watch_progress_duration_ms_check CHECK ((duration_ms > 0)),
    CONSTRAINT user_watch_progress_position_ms_check CHECK ((position_ms >= 0)),
    CONSTRAINT user_watch_progress_user_id_check CHECK (((char_length(user_id) >= 1) AND (char_length(user_id) <= 200))),
    CONSTRAINT user_watch_progress_version_check CHECK ((version >= 0))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.05');

ALTER TABLE ONLY user_watch_progress
    ADD CONSTRAINT user_watch_progress_pkey PRIMARY KEY (user_id, content_id);

CREATE INDEX user_watch_progress_by_content ON user_watch_progress USING btree (content_id);

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


CREATE VIEW published_content AS
 SELECT id,
    kind,
    title,
    slug,
    description,
    media_id,
    game_id,
    team_ids,
    player_ids,
    tags,
    thumbnail_url,
    duration_ms,
    live_state,
    broadcast_id,
    hide_viewer_count,
    version,
    created_at,
    updated_at,
    COALESCE(published_at, publish_at) AS published_at
   FROM content
  WHERE ((deleted_at IS NULL) AND ((state = 'published'::text) OR ((state = 'scheduled'::text) AND (publish_at <= now()))));

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
 SELECT c.id,
    c.kind,
    c.title,
    c.slug,
    c.description,
    c.game_id,
    c.team_ids,
    c.tags,
    c.thumbnail_url,
    c.live_state,
    c.version,
    c.updated_at,
    c.published_at,
    COALESCE(c.duration_ms, media.duration_ms) AS duration_ms,
    media.playback_url,
    media.brief AS media,
    game.brief AS game,
    teams.briefs AS teams
   FROM (((published_content c
     LEFT JOIN LATERAL ( SELECT m.duration_ms,
                CASE
                    WHEN m.playable THEN m.playback_url
                    ELSE NULL::text
                END AS playback_url,
            json_build_object('id', m.id, 'mime', m.mime, 'bytes', m.bytes, 'playable', m.playable) AS brief
           FROM media_assets m
          WHERE ((m.id = c.media_id) AND (m.deleted_at IS NULL))
         LIMIT 1) media ON (true))
     LEFT JOIN LATERAL ( SELECT json_build_object('id', g.id, 'sport', g.sport, 'state', g.state, 'starts_at', g.starts_at, 'venue', g.venue, 'home', json_build_object('id', h.id, 'name', h.name, 'short_name', h.short_name, 'logo_url', h.logo_url), 'away', json_build_object('id', a.id, 'name', a.name, 'short_name', a.short_name, 'logo_url', a.logo_url), 'home_score', g.home_score, 'away_score', g.away_score) AS brief
           FROM ((games g
             JOIN teams h ON ((h.id = g.home_team_id)))
             JOIN teams a ON ((a.id = g.away_team_id)))
          WHERE ((g.id = c.game_id) AND (g.deleted_at IS NULL))
         LIMIT 1) game ON (true))
     CROSS JOIN LATERAL ( SELECT COALESCE(json_agg(json_build_object('id', t.id, 'name', t.name, 'short_name', t.short_name, 'logo_url', t.logo_url) ORDER BY (array_position(c.team_ids, t.id))), '[]'::json) AS briefs
           FROM teams t
          WHERE ((t.id = ANY (c.team_ids)) AND (t.deleted_at IS NULL))) teams);

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


ALTER TABLE ONLY channel_log ATTACH PARTITION channel_log_default DEFAULT;

ALTER INDEX channel_log_pkey ATTACH PARTITION channel_log_default_pkey;

ALTER TABLE ONLY content
    ADD CONSTRAINT content_game_id_fkey FOREIGN KEY (game_id) REFERENCES games(id);

ALTER TABLE ONLY content
    ADD CONSTRAINT content_media_id_fkey FOREIGN KEY (media_id) REFERENCES media_assets(id);

ALTER TABLE ONLY games
    ADD CONSTRAINT games_away_team_id_fkey FOREIGN KEY (away_team_id) REFERENCES teams(id);

ALTER TABLE ONLY games
    ADD CONSTRAINT games_home_team_id_fkey FOREIGN KEY (home_team_id) REFERENCES teams(id);

ALTER TABLE ONLY live_broadcasts
    ADD CONSTRAINT live_broadcasts_stream_id_fkey FOREIGN KEY (stream_id) REFERENCES content(id) ON DELETE CASCADE;

ALTER TABLE ONLY live_chat_messages
    ADD CONSTRAINT live_chat_messages_stream_id_fkey FOREIGN KEY (stream_id) REFERENCES content(id);

ALTER TABLE ONLY live_stream_sessions
    ADD CONSTRAINT live_stream_sessions_broadcast_id_fkey FOREIGN KEY (broadcast_id) REFERENCES live_broadcasts(id) ON DELETE CASCADE;

ALTER TABLE ONLY live_viewer_samples
    ADD CONSTRAINT live_viewer_samples_broadcast_id_fkey FOREIGN KEY (broadcast_id) REFERENCES live_broadcasts(id) ON DELETE CASCADE;

ALTER TABLE ONLY playback_sessions
    ADD CONSTRAINT playback_sessions_user_id_content_id_fkey FOREIGN KEY (user_id, content_id) REFERENCES user_watch_progress(user_id, content_id) ON DELETE CASCADE;

ALTER TABLE ONLY players
    ADD CONSTRAINT players_team_id_fkey FOREIGN KEY (team_id) REFERENCES teams(id);

ALTER TABLE ONLY user_watch_progress
    ADD CONSTRAINT user_watch_progress_content_id_fkey FOREIGN KEY (content_id) REFERENCES content(id) ON DELETE CASCADE;
