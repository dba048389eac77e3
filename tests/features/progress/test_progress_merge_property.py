"""Rule 3.12: the pure function and the SQL are one rule, and the order of delivery does not matter."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csn_rt.features.progress import store
from csn_rt.features.progress.merge import Row, is_beyond_end, merge
from csn_rt.features.progress.playback import Mark, Playback, Report
from csn_rt.features.progress.store import Heard
from csn_rt.wire.progress import ProgressReport
from tests.support.league import make_content

DURATION_MS = 600_000
"""Started from 18 s on, completed from 570 s on."""
NOW_MS = 10_000_000

positions = st.one_of(
    st.sampled_from([0, 7_999, 8_000, 17_999, 18_000, 27_999, 28_000]),
    st.sampled_from([289_999, 290_000, 299_999, 300_000, 310_000, 569_999, 570_000, 600_000]),
    st.integers(0, 12).map(lambda n: n * 50_000),
    st.integers(0, 602_000),
)


@st.composite
def reports(draw, *, sessions=("phone", "tv")):
    """One report; its age is against the end of the history, to which all of them arrive."""
    return Report(
        session_id=draw(st.sampled_from(sessions)),
        seq=draw(st.integers(0, 7)),
        event=draw(st.sampled_from(["start", "progress", "progress", "pause", "seek", "seek", "ended"])),
        position_ms=draw(positions),
        duration_ms=draw(st.sampled_from([DURATION_MS, DURATION_MS, None, 5_000_000])),
        at_ms=NOW_MS - draw(st.one_of(st.integers(0, 12).map(lambda n: n * 5_000), st.integers(0, 200_000))),
        is_user_action=draw(st.integers(0, 3)) == 0,
    )


def run(history, state=None):
    """Outcomes, the row and what the sessions said."""
    row, sessions = state or (Row(), {})
    sessions = dict(sessions)
    outcomes = []
    for report in history:
        outcome, row, playback = merge(row, sessions.get(report.session_id, Playback()), report)
        sessions[report.session_id] = playback
        outcomes.append(outcome)
    return outcomes, row, sessions


def distinct(history):
    """One report per number, and one start: a number that comes twice is a retry, and says the same."""
    by_number = {each.seq: each for each in history}
    starts = [seq for seq, each in by_number.items() if each.is_start]
    return [each for seq, each in by_number.items() if seq not in starts[1:]]


class _RolledBack(Exception):
    pass


@pytest.fixture
async def content_id(db):
    return await make_content(db, duration_ms=None)


async def run_in_sql(db, content_id, batches):
    """What `run` answers for each person, by the statement; a batch has reports of different people."""
    outcomes, rows, sessions = [], {}, {}
    try:
        async with db.transaction() as connection:
            for batch in batches:
                heard = [
                    Heard(
                        user_id,
                        ProgressReport(
                            content_id=content_id,
                            playback_session_id=report.session_id,
                            seq=report.seq,
                            event=report.event,
                            position_ms=report.position_ms,
                            duration_ms=report.duration_ms,
                            age_ms=NOW_MS - report.at_ms,
                            user_action=report.is_user_action,
                        ),
                        0.0,
                    )
                    for user_id, report in batch
                ]
                await store.lock(connection, [each.key for each in heard])
                merged = await store.merge(connection, heard, 0.0)
                outcomes += [each.verdict for each in merged]
            now = await connection.fetchval("SELECT date_trunc('milliseconds', now())")
            for row in await connection.fetch("SELECT * FROM user_watch_progress"):
                rows[row["user_id"]] = Row(
                    position_ms=row["position_ms"],
                    duration_ms=row["duration_ms"],
                    completed=row["completed"],
                    session_id=row["playback_session_id"],
                    effective_at_ms=_ms(row["effective_at"], now),
                    last_played_at_ms=_ms(row["last_played_at"], now),
                    version=row["version"],
                )
            for row in await connection.fetch(_SESSIONS):
                sessions.setdefault(row["user_id"], {})[row["playback_session_id"]] = _playback(row, now)
            raise _RolledBack  # noqa: TRY301  the database is left as it was for the next example
    except _RolledBack:
        return outcomes, rows, sessions


_SESSIONS = """
SELECT s.*, ARRAY(SELECT lower(x) FROM unnest(seen) AS x ORDER BY x) AS seen_from,
       ARRAY(SELECT upper(x) FROM unnest(seen) AS x ORDER BY x) AS seen_to,
       ARRAY(SELECT lower(x) FROM unnest(heard) AS x ORDER BY x) AS heard_from,
       ARRAY(SELECT upper(x) FROM unnest(heard) AS x ORDER BY x) AS heard_to
  FROM playback_sessions s
"""


def _playback(row, now):
    def mark(record):
        return Mark(
            record["seq"], record["position_ms"], record["duration_ms"], _ms(record["effective_at"], now)
        )

    def times(key):
        return [_ms(at, now) for at in row[key]]

    return Playback(
        seen=tuple(zip(row["seen_from"], row["seen_to"], strict=True)),
        heard=tuple(zip(times("heard_from"), times("heard_to"), strict=True)),
        start_seq=row["start_seq"],
        start_at_ms=_ms(row["start_at"], now) or 0,
        last_at_ms=_ms(row["last_at"], now),
        user_at_ms=_ms(row["user_at"], now),
        least_ms=row["least_ms"],
        most_ms=row["most_ms"],
        shortest_ms=row["shortest_ms"],
        seek_seq=row["seek_seq"],
        seek_is_user=row["seek_is_user"],
        ending=row["ending"] and mark(row["ending"]),
        marks=tuple(map(mark, row["marks"])),
    )


def _ms(at, now):
    return None if at is None else NOW_MS + round((at - now).total_seconds() * 1000)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories=st.lists(st.lists(reports(), max_size=14), min_size=1, max_size=3))
async def test_the_statement_and_the_pure_function_agree_on_every_history(db, content_id, histories):
    """Several people at once: each round of the batch holds one report of each."""
    histories = {f"person {n}": history for n, history in enumerate(histories)}
    longest = max(map(len, histories.values()))
    batches = [
        [(user_id, history[n]) for user_id, history in histories.items() if n < len(history)]
        for n in range(longest)
    ]

    outcomes, rows, sessions = await run_in_sql(db, content_id, [batch for batch in batches if batch])

    expected = {user_id: iter(run(history)[0]) for user_id, history in histories.items()}
    refused = [
        is_beyond_end(report.position_ms, report.duration_ms) for batch in batches for _, report in batch
    ]
    assert not any(refused)
    assert [next(expected[user_id]) for batch in batches for user_id, _ in batch] == outcomes
    for user_id, history in histories.items():
        if history:
            assert run(history)[1:] == (rows[user_id], sessions[user_id])


@settings(max_examples=600, deadline=None)
@given(
    before=st.lists(reports(sessions=("phone", "tv", "tablet")), max_size=8),
    history=st.lists(reports(sessions=("phone",)), min_size=2, max_size=8).map(distinct),
    removed=st.none() | st.integers(NOW_MS - 60_000, NOW_MS),
    data=st.data(),
)
def test_the_final_row_does_not_depend_on_the_order_in_which_a_session_is_heard(
    before, history, removed, data
):
    """Whatever was there before, in-order and shuffled delivery with retries end in the same row."""
    numbers = {each.seq for each in history}
    before = [
        each
        for each in before
        if each.session_id != "phone" or (each.seq not in numbers and not each.is_start)
    ]
    _, row, sessions = run(before)
    state = (msgspec.structs.replace(row, removed_at_ms=removed), sessions)
    in_order = sorted(history, key=lambda report: report.seq)
    shuffled = data.draw(st.permutations(history + data.draw(st.lists(st.sampled_from(history), max_size=4))))

    _, row, sessions = run(in_order, state)
    _, other_row, other_sessions = run(shuffled, state)

    assert sessions == other_sessions
    assert msgspec.structs.replace(row, version=0) == msgspec.structs.replace(other_row, version=0)


def test_what_a_session_played_before_a_silence_counts_also_when_it_is_heard_after_it():
    """On the way to the server the last report overtook the two before it."""

    def progress(session_id, seq, at_s, position_ms):
        return Report(
            session_id=session_id,
            seq=seq,
            event="progress",
            position_ms=position_ms,
            duration_ms=DURATION_MS,
            at_ms=NOW_MS + at_s * 1_000,
        )

    state = run([progress("tv", 0, 5, 400_000)])[1:]
    phone = [progress("phone", n, at_s, 100_000 + at_s * 1_000) for n, at_s in enumerate((0, 10, 60))]

    _, row, _ = run(phone, state)
    _, other_row, _ = run([phone[2], phone[0], phone[1]], state)

    assert (row.session_id, row.position_ms) == ("phone", 160_000)
    assert msgspec.structs.replace(row, version=0) == msgspec.structs.replace(other_row, version=0)


@given(history=st.lists(reports(), max_size=12), data=st.data())
def test_a_retry_of_anything_that_was_said_changes_nothing(history, data):
    state = run(history)[1:]
    retries = data.draw(st.lists(st.sampled_from(history), max_size=5)) if history else []
    later = [msgspec.structs.replace(each, at_ms=NOW_MS) for each in retries]

    outcomes, row, sessions = run(later, state)

    assert ["duplicate"] * len(later) == outcomes
    assert state == (row, sessions)


@pytest.mark.parametrize(
    ("step", "pause_ms", "back_ms"),
    [
        pytest.param(2, 1_000, 0, id="holes in the numbers"),
        pytest.param(1, 100_000, 0, id="silences"),
        pytest.param(1, 1_000, 1_000, id="ever less far"),
    ],
)
async def test_the_statement_and_the_pure_function_forget_the_same(db, content_id, step, pause_ms, back_ms):
    """Sessions that are too odd to be kept whole, and then late what they left out: once too late."""
    odd = [
        Report(
            session_id="phone",
            seq=n * step,
            event="progress",
            position_ms=400_000 - n * back_ms,
            duration_ms=DURATION_MS,
            at_ms=NOW_MS - (40 - n) * pause_ms,
        )
        for n in range(40)
    ]
    late = [
        msgspec.structs.replace(each, seq=each.seq + 1, event="seek" if each.seq % 3 else "start")
        for each in odd
    ]
    history = [*odd, *((late[3], late[30]) if step == 2 else ())]
    history.append(msgspec.structs.replace(odd[-1], seq=100, position_ms=390_500))

    outcomes, rows, sessions = await run_in_sql(db, content_id, [[("ann", each)] for each in history])

    assert run(history) == (outcomes, rows["ann"], sessions["ann"])


async def test_the_statement_and_the_pure_function_have_the_same_edges(db, content_id):
    """To the millisecond: 10 s back, started, the threshold of completion, its minute, 30 s and 10 s."""
    places = [300_000, 290_000, 289_999, 18_000, 17_999, 8_000, 7_999, 570_000, 569_999, 602_000]
    people = [
        (f"{first} {second} {apart_ms} {event}", first, second, apart_ms, event)
        for first in places
        for second in places
        for apart_ms in (9_999, 10_000, 30_000, 30_001, 60_000, 60_001)
        for event in ("progress", "seek")
    ]

    def report(session_id, seq, event, position_ms, at_ms, *, is_user_action=False):
        return Report(
            session_id=session_id,
            seq=seq,
            event=event,
            position_ms=position_ms,
            duration_ms=DURATION_MS,
            at_ms=at_ms,
            is_user_action=is_user_action,
        )

    histories = {
        name: [
            report("tv", 1, "progress", 100_000, NOW_MS - 80_000),
            report("phone", 1, "start", 0, NOW_MS - 70_000),
            report("phone", 2, "seek", first, NOW_MS - 70_000, is_user_action=first % 1_000 == 0),
            report("phone", 3, event, second, NOW_MS - 70_000 + apart_ms),
        ]
        for name, first, second, apart_ms, event in people
    }
    batches = [[(name, history[n]) for name, history in histories.items()] for n in range(4)]

    outcomes, rows, sessions = await run_in_sql(db, content_id, batches)

    runs = {name: run(history) for name, history in histories.items()}
    assert [runs[name][0][n] for n in range(4) for name in histories] == outcomes
    assert {name: (row, playbacks) for name, (_, row, playbacks) in runs.items()} == {
        name: (rows[name], sessions[name]) for name in histories
    }
