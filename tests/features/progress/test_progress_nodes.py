"""Many reports at once: batches, two nodes on one database, and what is left when sessions are forgotten."""

import asyncio

import asyncpg
import pytest

from csn_rt.db.queries import query
from csn_rt.errors import TooMany
from csn_rt.features.context import Context
from csn_rt.features.progress import jobs, store
from csn_rt.features.progress.handlers import MAX_WAITING
from csn_rt.features.progress.merging import rounds
from csn_rt.features.progress.store import Heard
from csn_rt.wire.progress import ProgressReport
from tests.features.progress.couch import MINUTE_MS, fan


async def test_reports_of_one_session_in_one_batch_are_merged_in_their_order(couch, video):
    answers = await asyncio.gather(
        couch.report(video, "progress", 5 * MINUTE_MS, seq=1),
        couch.report(video, "progress", 0, seq=2),
        couch.report(video, "seek", 2 * MINUTE_MS, seq=3),
        couch.report(video, "progress", 2 * MINUTE_MS, seq=3),
        couch.report(video, "progress", 2 * MINUTE_MS + 5_000, seq=4),
    )

    assert [answer.outcome for answer in answers] == [
        "saved", "suspicious_rewind", "saved", "duplicate", "saved",
    ]  # fmt: skip
    assert [answer.progress.version for answer in answers] == [1, 1, 2, 2, 3]


async def test_many_changes_of_a_row_in_one_batch_are_told_once(couch, video):
    await asyncio.gather(
        couch.report(video, "start", 0),  # a batch of its own, while the others gather
        *(couch.report(video, "progress", n * 10_000) for n in range(2, 12)),
        *(couch.report(video, "progress", n * 10_000, by=fan("bob"), session="b") for n in range(2, 12)),
    )

    assert [event["position_ms"] for event in couch.told_to("ann")] == [110_000]
    assert [event["position_ms"] for event in couch.told_to("bob")] == [110_000]


def test_a_round_has_each_key_once_and_keeps_the_order_of_each():
    ann, bob, cid = ("ann", "v"), ("bob", "v"), ("ann", "w")

    assert list(rounds([ann, bob, ann, ann, cid, bob])) == [[0, 1, 4], [2, 5], [3]]
    assert list(rounds([])) == []


async def test_a_flood_of_reports_of_one_title_is_refused_beyond_a_bound(couch, video):
    answers = await asyncio.gather(
        *(couch.report(video, "progress", 20_000 + n, seq=n) for n in range(MAX_WAITING + 5)),
        couch.report(video, "progress", MINUTE_MS, by=fan("bob"), seq=1),
        return_exceptions=True,
    )

    assert [type(answer) for answer in answers if isinstance(answer, Exception)] == [TooMany] * 5
    assert answers[-1].outcome == "saved"
    assert (await couch.report(video, "progress", MINUTE_MS, seq=MAX_WAITING + 9)).outcome == "saved"


async def test_two_nodes_that_hear_one_session_at_once_end_where_it_ended(couch, other_node, video):
    """Every report goes to both nodes, in different orders: a beacon, a socket, and retries of both."""
    reports = [(n, "seek" if n in {5, 11} else "progress", (300 - 20 * n) * 1_000) for n in range(1, 15)]

    async def say(couch, order):
        return await asyncio.gather(
            *(couch.report(video, event, position_ms, seq=seq) for seq, event, position_ms in order)
        )

    one, other = await asyncio.gather(say(couch, reports), say(other_node, reports[::-1]))

    # Since the seek at 11 nothing went further than 80 s.
    assert await couch.position(video) == 80_000
    assert len(one) + len(other) == 28
    assert all(answer.outcome != "stale" for answer in one + other)


async def test_a_report_waits_for_the_node_that_is_merging_the_same_row(couch, other_node, video, db):
    await couch.report(video, "progress", MINUTE_MS, seq=1)
    report = ProgressReport(
        content_id=video, playback_session_id="phone", seq=2, event="progress", position_ms=2 * MINUTE_MS
    )
    async with db.transaction() as connection:
        await store.lock(connection, [("ann", video)])
        await store.merge(connection, [Heard("ann", report, 0.0)], 0.0)
        retry = asyncio.create_task(other_node.report(video, "progress", 2 * MINUTE_MS, seq=2))
        await asyncio.sleep(0.1)
        is_waiting = not retry.done()

    assert is_waiting
    assert (await retry).outcome == "duplicate"


async def test_two_nodes_with_the_same_people_in_other_orders_do_not_wait_for_each_other(couch, other_node):
    videos = [await couch.video() for _ in range(3)]
    people = [fan(f"person {n}") for n in range(25)]

    async def watch(couch, people, session, videos):
        for step in range(4):
            await asyncio.gather(
                *(
                    couch.report(
                        video,
                        "seek",
                        (step + 1) * MINUTE_MS,
                        session=session,
                        by=person,
                        seq=step,
                        user_action=True,
                    )
                    for person in people
                    for video in videos
                )
            )

    await asyncio.gather(
        watch(couch, people, "phone", videos), watch(other_node, people[::-1], "tv", videos[::-1])
    )

    rows = [await couch.row(video, person) for person in people for video in videos]
    assert {row.position_ms for row in rows} == {4 * MINUTE_MS}


async def test_events_of_two_nodes_on_one_persons_channel_are_numbered_without_holes(
    couch, other_node, video
):
    async def watch(couch, session):
        for n in range(10):
            await couch.report(video, "seek", MINUTE_MS + n * 1_000, session=session, user_action=True)

    await asyncio.gather(watch(couch, "phone"), watch(other_node, "tv"))

    offsets = sorted(each.offset for each in couch.told.published + other_node.told.published)
    assert offsets == list(range(1, len(offsets) + 1))


async def test_the_first_report_of_two_devices_at_once_makes_one_row(couch, other_node, video):
    one, other = await asyncio.gather(
        couch.report(video, "seek", MINUTE_MS, session="phone", user_action=True),
        other_node.report(video, "seek", 2 * MINUTE_MS, session="tv", user_action=True),
    )
    row = await couch.row(video)

    assert row.version in {1, 2}
    assert row.position_ms in {MINUTE_MS, 2 * MINUTE_MS}
    assert "saved" in {one.outcome, other.outcome}


async def test_sessions_that_ended_long_ago_are_forgotten_and_progress_stays(couch, video, db):
    ctx = Context(db, couch.told)
    await couch.report(video, "progress", MINUTE_MS, session="old")
    await couch.report(video, "start", 0, session="opened")
    await couch.mark_watched(video)  # silences both
    await couch.pass_time(7 * 86_400 + 120)
    await couch.report(video, "seek", 2 * MINUTE_MS, session="new", user_action=True)
    before = await couch.row(video)

    assert await jobs.forget_sessions(ctx) == 2
    assert await jobs.forget_sessions(ctx) == 0
    assert await couch.row(video) == before
    assert (await couch.report(video, "progress", 2 * MINUTE_MS, session="new", seq=1)).outcome == "duplicate"


# How the statements find their rows


@pytest.fixture
async def crowded(db, couch):
    """Tables that are worth an index: 200 people, 30 titles each, and what the planner knows of it."""
    async with db.connection() as connection:
        await connection.execute(
            """
            INSERT INTO content (id, kind, state, title, slug, duration_ms, published_at)
            SELECT gen_random_uuid(), 'vod', 'published', 'v', 'video-' || n, 600000, now()
              FROM generate_series(1, 30) n;
            INSERT INTO user_watch_progress (user_id, content_id, version, position_ms, last_played_at)
            SELECT 'person ' || p, c.id, 1, 60000, now() FROM generate_series(1, 200) p, content c;
            INSERT INTO playback_sessions (user_id, content_id, playback_session_id, seen, heard)
            SELECT user_id, content_id, 's', '{[1,2)}',
                   tstzmultirange(tstzrange(now(), now() + interval '30 seconds'))
              FROM user_watch_progress;
            ANALYZE content, user_watch_progress, playback_sessions;
            """
        )
        return await connection.fetchval("SELECT id FROM content LIMIT 1")


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("lock_watch_progress", (["person 1"], ["id"])),
        ("merge_reports", (["person 1"], ["id"], ["s"], [2], ["progress"], [60_000], [None], [0], [False])),
        ("read_watch_progress", ("person 1", ["id"])),
        ("read_continue_watching", (["person 1"], 40)),
        ("remove_watch_progress", ("person 1", "id")),
        ("undo_remove_watch_progress", ("person 1", "id")),
        ("mark_watched", ("person 1", "id")),
        ("mark_unwatched", ("person 1", "id")),
        ("silence_playback_sessions", ("person 1", "id")),
        ("lock_one_watch_progress", ("person 1", "id")),
        ("forget_playback_sessions", (86_400.0, 100)),
    ],
)
async def test_no_statement_reads_a_whole_table_of_progress(db, crowded, name, args):
    args = [crowded if arg == "id" else [crowded] if arg == ["id"] else arg for arg in args]
    async with db.connection() as connection:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        plan = await connection.fetch(f"EXPLAIN {query(name).sql}", *args)
        await connection.execute("RESET plan_cache_mode")

    lines = [row[0] for row in plan]
    whole = [line for line in lines if "Seq Scan on user_watch" in line or "Seq Scan on playback_s" in line]
    assert whole == []


async def test_the_database_refuses_what_no_rule_can_make(db, crowded):
    async with db.connection() as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("UPDATE user_watch_progress SET position_ms = -1")
