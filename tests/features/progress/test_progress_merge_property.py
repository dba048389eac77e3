"""Rule 3.12: the pure function and the SQL are one rule, and the order of delivery does not matter."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csn_rt.features.progress import store
from csn_rt.features.progress.merge import Row, is_beyond_end, merge
from csn_rt.features.progress.playback import Playback, Report
from csn_rt.features.progress.store import Heard
from csn_rt.wire.progress import ProgressReport
from tests.support.league import make_content

DURATION_MS = 600_000
"""Started from 18 s on, completed from 570 s on."""
NOW_MS = 10_000_000

positions = st.one_of(
    st.sampled_from([0, 5_000, 17_999, 18_000, 25_000, 300_000, 309_000, 311_000, 569_999, 570_000, 600_000]),
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
    """What `run` answers, by the statement: batches of reports that are of different people."""
    outcomes, rows = [], {}
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
            raise _RolledBack  # noqa: TRY301  the database is left as it was for the next example
    except _RolledBack:
        return outcomes, rows


def _ms(at, now):
    return None if at is None else NOW_MS + round((at - now).total_seconds() * 1000)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories=st.lists(st.lists(reports(), max_size=14), min_size=1, max_size=3))
async def test_the_statement_and_the_pure_function_agree_on_every_history(db, content_id, histories):
    """Several people at once: each round of the batch holds one report of each."""
    histories = {f"person {n}": history for n, history in enumerate(histories)}
    longest = max(map(len, histories.values()))
    batches = [
        [(user_id, history[n]) for user_id, history in histories.items() if n < len(history)]
        for n in range(longest)
    ]

    outcomes, rows = await run_in_sql(db, content_id, [batch for batch in batches if batch])

    expected = {user_id: iter(run(history)[0]) for user_id, history in histories.items()}
    refused = [
        is_beyond_end(report.position_ms, report.duration_ms) for batch in batches for _, report in batch
    ]
    assert not any(refused)
    assert [next(expected[user_id]) for batch in batches for user_id, _ in batch] == outcomes
    for user_id, history in histories.items():
        if history:
            assert run(history)[1] == rows[user_id]


@settings(max_examples=300, deadline=None)
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
    """Sessions that are too odd to be kept whole, and then everything late that they left out."""
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
    history = [*odd, *(late[::-1] if step == 2 else [])]
    history.append(msgspec.structs.replace(odd[-1], seq=100, position_ms=390_500))

    outcomes, rows = await run_in_sql(db, content_id, [[("ann", each)] for each in history])

    assert run(history)[0] == outcomes
    assert run(history)[1] == rows["ann"]
