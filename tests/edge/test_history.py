"""Pages of a channel's log."""

from typing import Any

import pytest

from csn_rt.core.identity import Identity
from csn_rt.db import log
from csn_rt.edge.history import History, Page
from csn_rt.edge.joining import MAX_RECOVERED_BYTES, SubscribeRefused
from csn_rt.wire import names
from csn_rt.wire.codes import ErrorCode
from csn_rt.wire.names import CATALOG
from csn_rt.wire.protocol import StreamPosition
from csn_rt.wire.roles import Role
from tests.edge.test_topics import commit

ANN = Identity(user_id="ann", role=Role.USER)


STREAM = "00000000-0000-7000-8000-000000000001"


async def stream_exists(address: names.Address) -> bool:
    return address.subject == STREAM


async def read(db: Any, limit: int = 300, since: StreamPosition | None = None, **options: Any) -> Page:
    options = {"is_reverse": False, **options}
    return await History(db, stream_exists).read(
        ANN, options.pop("name", CATALOG), limit=limit, since=since, **options
    )


def offsets(page: Page) -> list[int]:
    return [offset for offset, _ in page.publications]


async def refusal(reading: Any) -> ErrorCode:
    with pytest.raises(SubscribeRefused) as refused:
        await reading
    return refused.value.error


async def test_a_page_goes_on_after_the_position(db):
    await commit(db, *"abcde")

    assert offsets(await read(db, 2)) == [1, 2]
    assert offsets(await read(db, 2, StreamPosition(2, ""))) == [3, 4]


async def test_a_page_in_reverse_goes_down_from_below_the_position(db):
    await commit(db, *"abcde")

    assert offsets(await read(db, 2, is_reverse=True)) == [5, 4]
    assert offsets(await read(db, 2, StreamPosition(4, ""), is_reverse=True)) == [3, 2]


async def test_without_a_limit_there_is_only_the_position(db):
    await commit(db, *"abcde")
    page = await read(db, 0)

    assert (offsets(page), page.offset) == ([], 5)


async def test_rule_1_a_position_of_another_epoch_is_refused(db):
    await commit(db, "a")
    epoch = (await read(db)).epoch

    assert offsets(await read(db, since=StreamPosition(0, epoch))) == [1]
    assert await refusal(read(db, since=StreamPosition(0, "otherone"))) is ErrorCode.UNRECOVERABLE_POSITION


async def test_rule_1_what_comes_after_the_head_was_read_is_not_in_the_page(db, monkeypatch):
    await commit(db, "a")
    heads_of = log.heads_of

    async def read_and_speak(*args: Any) -> Any:
        heads = await heads_of(*args)
        await commit(db, "b")
        return heads

    monkeypatch.setattr(log, "heads_of", read_and_speak)
    page = await read(db)

    assert (offsets(page), page.offset) == ([1], 1)


async def test_rule_2_a_page_ends_where_the_reply_would_be_too_large(db):
    await commit(db, *["x" * (MAX_RECOVERED_BYTES // 2 - 2)] * 3, "y" * (2 * MAX_RECOVERED_BYTES), "z")

    assert offsets(await read(db)) == [1, 2]
    assert offsets(await read(db, since=StreamPosition(2, ""))) == [3]
    assert offsets(await read(db, since=StreamPosition(3, ""))) == [4]


async def test_what_keeps_no_events_has_no_history(db):
    assert await refusal(read(db, name=names.user("ann"))) is ErrorCode.NOT_AVAILABLE
    assert await refusal(read(db, name=names.user("bob"))) is ErrorCode.PERMISSION_DENIED
    assert await refusal(read(db, name="nonsense")) is ErrorCode.UNKNOWN_CHANNEL


async def test_a_chat_in_which_nothing_was_said_has_an_empty_history(db):
    page = await read(db, name=names.stream_chat(STREAM), limit=10)

    assert (list(page.publications), page.offset) == ([], 0)
    assert page.epoch


async def test_the_chat_of_no_stream_has_no_history(db):
    other = names.stream_chat("00000000-0000-7000-8000-000000000002")

    assert await refusal(read(db, name=other)) is ErrorCode.UNKNOWN_CHANNEL
