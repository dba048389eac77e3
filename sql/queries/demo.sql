-- Sample data of the demo. The ids are fixed, so that a second start finds the rows of the first and adds nothing;
-- what somebody changed meanwhile stays changed.

-- name: seed_teams() -> none
INSERT INTO teams (id, name, short_name, sport, city)
VALUES ('0190a6e2-7c1e-7000-8001-000000000001', 'Harbour City Gulls', 'HCG', 'ice hockey', 'Harbour City'),
       ('0190a6e2-7c1e-7000-8001-000000000002', 'Ridgeway Foxes', 'RWF', 'ice hockey', 'Ridgeway'),
       ('0190a6e2-7c1e-7000-8001-000000000003', 'Northfield Owls', 'NFO', 'ice hockey', 'Northfield'),
       ('0190a6e2-7c1e-7000-8001-000000000004', 'Lakeside Otters', 'LSO', 'ice hockey', 'Lakeside')
    ON CONFLICT DO NOTHING;

-- name: seed_players() -> none
INSERT INTO players (id, team_id, name, number, position)
VALUES ('0190a6e2-7c1e-7000-8002-000000000001', '0190a6e2-7c1e-7000-8001-000000000001', 'Elias Lindqvist', 19, 'centre'),
       ('0190a6e2-7c1e-7000-8002-000000000002', '0190a6e2-7c1e-7000-8001-000000000001', 'Dario Marchetti', 31, 'goalkeeper'),
       ('0190a6e2-7c1e-7000-8002-000000000003', '0190a6e2-7c1e-7000-8001-000000000001', 'Sam Okafor', 4, 'defence'),
       ('0190a6e2-7c1e-7000-8002-000000000004', '0190a6e2-7c1e-7000-8001-000000000002', 'Petr Havel', 88, 'right wing'),
       ('0190a6e2-7c1e-7000-8002-000000000005', '0190a6e2-7c1e-7000-8001-000000000002', 'Joel Saarinen', 1, 'goalkeeper'),
       ('0190a6e2-7c1e-7000-8002-000000000006', '0190a6e2-7c1e-7000-8001-000000000002', 'Marcus Bell', 27, 'defence'),
       ('0190a6e2-7c1e-7000-8002-000000000007', '0190a6e2-7c1e-7000-8001-000000000003', 'Anton Krüger', 9, 'left wing'),
       ('0190a6e2-7c1e-7000-8002-000000000008', '0190a6e2-7c1e-7000-8001-000000000003', 'Liam Tremblay', 35, 'goalkeeper'),
       ('0190a6e2-7c1e-7000-8002-000000000009', '0190a6e2-7c1e-7000-8001-000000000004', 'Mikko Rantala', 12, 'centre'),
       ('0190a6e2-7c1e-7000-8002-00000000000a', '0190a6e2-7c1e-7000-8001-000000000004', 'Owen Price', 30, 'goalkeeper')
    ON CONFLICT DO NOTHING;

-- name: seed_games() -> none
INSERT INTO games (id, sport, home_team_id, away_team_id, starts_at, venue, state, home_score, away_score)
VALUES ('0190a6e2-7c1e-7000-8003-000000000001', 'ice hockey',
        '0190a6e2-7c1e-7000-8001-000000000001', '0190a6e2-7c1e-7000-8001-000000000002',
        now() - interval '25 minutes', 'Pier Arena', 'playing', 2, 1),
       ('0190a6e2-7c1e-7000-8003-000000000002', 'ice hockey',
        '0190a6e2-7c1e-7000-8001-000000000003', '0190a6e2-7c1e-7000-8001-000000000004',
        now() - interval '1 day', 'Northfield Ice Hall', 'final', 4, 3)
    ON CONFLICT DO NOTHING;

-- name: seed_media() -> none
-- The addresses lead nowhere: the demo has no films.
INSERT INTO media_assets (id, name, mime, folder, state, playable, progress_pct, bytes, duration_ms, playback_url)
VALUES ('0190a6e2-7c1e-7000-8004-000000000001', 'owls-otters-full.mp4', 'video/mp4', 'season-1/week-7', 'ready', true, 100,
        4831838208, 7261000, '/demo-placeholder/owls-otters-full.mp4'),
       ('0190a6e2-7c1e-7000-8004-000000000002', 'owls-otters-highlights.mp4', 'video/mp4', 'season-1/week-7', 'ready', true, 100,
        398458880, 554000, '/demo-placeholder/owls-otters-highlights.mp4'),
       ('0190a6e2-7c1e-7000-8004-000000000003', 'rantala-overtime.mp4', 'video/mp4', 'season-1/week-7', 'ready', true, 100,
        61865984, 84000, '/demo-placeholder/rantala-overtime.mp4')
    ON CONFLICT DO NOTHING;

-- name: seed_content() -> none
INSERT INTO content (id, kind, state, title, slug, description, media_id, game_id, team_ids, player_ids, tags, live_state,
                     published_at)
VALUES ('0190a6e2-7c1e-7000-8005-000000000001', 'live', 'published', 'Live: Harbour City Gulls – Ridgeway Foxes',
        'live-gulls-foxes', 'Week 8, from the Pier Arena.', NULL, '0190a6e2-7c1e-7000-8003-000000000001',
        ARRAY['0190a6e2-7c1e-7000-8001-000000000001', '0190a6e2-7c1e-7000-8001-000000000002']::uuid[], '{}',
        ARRAY['demo', 'week-8'], 'scheduled', now() - interval '30 minutes'),
       ('0190a6e2-7c1e-7000-8005-000000000002', 'vod', 'published', 'Full match: Northfield Owls – Lakeside Otters',
        'owls-otters-full-match', 'All three periods and overtime.', '0190a6e2-7c1e-7000-8004-000000000001',
        '0190a6e2-7c1e-7000-8003-000000000002',
        ARRAY['0190a6e2-7c1e-7000-8001-000000000003', '0190a6e2-7c1e-7000-8001-000000000004']::uuid[], '{}',
        ARRAY['demo', 'week-7', 'full-match'], NULL, now() - interval '20 hours'),
       ('0190a6e2-7c1e-7000-8005-000000000003', 'vod', 'published', 'Highlights: Northfield Owls – Lakeside Otters',
        'owls-otters-highlights', 'Seven goals in nine minutes.', '0190a6e2-7c1e-7000-8004-000000000002',
        '0190a6e2-7c1e-7000-8003-000000000002',
        ARRAY['0190a6e2-7c1e-7000-8001-000000000003', '0190a6e2-7c1e-7000-8001-000000000004']::uuid[], '{}',
        ARRAY['demo', 'week-7', 'highlights'], NULL, now() - interval '19 hours'),
       ('0190a6e2-7c1e-7000-8005-000000000004', 'clip', 'published', 'Rantala ties it with two seconds left',
        'rantala-two-seconds-left', 'The goal that forced overtime.', '0190a6e2-7c1e-7000-8004-000000000003',
        '0190a6e2-7c1e-7000-8003-000000000002', ARRAY['0190a6e2-7c1e-7000-8001-000000000004']::uuid[],
        ARRAY['0190a6e2-7c1e-7000-8002-000000000009']::uuid[],
        ARRAY['demo', 'week-7', 'goals'], NULL, now() - interval '18 hours')
    ON CONFLICT DO NOTHING;

-- name: read_demo_content() -> rows
SELECT id, kind, live_state, duration_ms FROM content_cards WHERE tags @> ARRAY['demo'] ORDER BY published_at, id;
