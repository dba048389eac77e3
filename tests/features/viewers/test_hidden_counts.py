"""Rule 2.8: where the count is hidden, viewers get null and moderators the number."""

import pytest

from tests.features.viewers.stage import MODERATOR, caller, eventually

ANN, BEN = caller("ann"), caller("ben")


@pytest.fixture
async def node(real_stage):
    return await real_stage.node("one")


@pytest.fixture
async def stream_id(real_stage, node):
    stream_id = await real_stage.stream(hide_viewer_count=True)
    node.viewers.watch(stream_id)
    await node.go_on_air(stream_id)
    return stream_id


async def test_viewers_get_null_everywhere(node, stream_id):
    await node.start(ANN, stream_id)
    count, snapshot = await node.count(stream_id), await node.snapshot(stream_id)

    assert (None, None, False) == (count.viewers, count.peak, count.stale)
    assert (None, None) == (snapshot["viewers"], snapshot["peak"])
    assert None is (await node.start(BEN, stream_id)).viewers
    assert {None} == set(node.heard_numbers(stream_id))


async def test_moderators_get_the_number_everywhere(node, stream_id):
    await node.start(ANN, stream_id)
    await eventually(lambda: node.heard(stream_id, staff=True)[-1]["viewers"] == 1)

    assert 1 == (await node.count(stream_id, MODERATOR)).viewers
    assert 1 == (await node.snapshot(stream_id, staff=True))["viewers"]
    assert 2 == (await node.start(MODERATOR, stream_id)).viewers


async def test_not_even_the_pushes_show_that_somebody_came(node, stream_id):
    await node.snapshot(stream_id)
    before = node.heard(stream_id)
    for n in range(3):
        await node.start(caller(f"fan {n}"), stream_id)
        await eventually(lambda n=n: node.heard(stream_id, staff=True)[-1]["viewers"] == n + 1)

    assert before == node.heard(stream_id)


async def test_hiding_takes_the_number_away_from_those_who_have_it_and_showing_gives_it_back(
    real_stage, node, stream_id
):
    other = await real_stage.node("two")
    other.viewers.watch(stream_id)
    await node.start(ANN, stream_id)
    for is_hidden, number in ((False, 1), (True, None), (False, 1)):
        await real_stage.execute("UPDATE content SET hide_viewer_count = $1", is_hidden)
        for each in (node, other):
            await eventually(lambda each=each, number=number: each.heard_numbers(stream_id)[-1:] == [number])


async def test_the_peak_stays_hidden_after_the_end(node, stream_id):
    await node.start(ANN, stream_id)
    await node.go_off_air(stream_id)

    assert ("ended", None) == tuple(node.heard(stream_id)[-1][name] for name in ("state", "peak"))
    assert 1 == node.heard(stream_id, staff=True)[-1]["peak"]
