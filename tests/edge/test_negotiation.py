"""Which encoding a socket speaks, which kind of frame carries it, and what is answered to the wrong kind."""

import asyncio

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError
from websockets.typing import Subprotocol

from tests.support.encodings import JSON, PROTOBUF

JSON_PROTOCOL = Subprotocol("centrifuge-json")
PROTOBUF_PROTOCOL = Subprotocol("centrifuge-protobuf")
HELLO = {"id": 1, "connect": {}}


def socket(node, subprotocols=None, query: str = "") -> connect:
    address = f"{node.ws_url}/connection/websocket{query}"
    return connect(address, subprotocols=subprotocols, open_timeout=10, close_timeout=10)


async def heard(ws: ClientConnection) -> str | bytes:
    async with asyncio.timeout(10):
        return await ws.recv()


@pytest.mark.parametrize(
    ("offered", "query", "echoed"),
    [
        ([PROTOBUF_PROTOCOL], "", PROTOBUF_PROTOCOL),
        ([JSON_PROTOCOL, PROTOBUF_PROTOCOL], "", PROTOBUF_PROTOCOL),
        ([Subprotocol("other"), PROTOBUF_PROTOCOL], "?cf_protocol_version=v2", PROTOBUF_PROTOCOL),
        (None, "?format=protobuf", None),
        (None, "?x=1&cf_protocol=protobuf", None),
    ],
    ids=str,
)
async def test_who_asks_for_protobuf_is_answered_in_binary_frames(node, offered, query, echoed):
    async with socket(node, offered, query) as ws:
        await ws.send(PROTOBUF.frame(HELLO))
        (reply,) = PROTOBUF.messages(await heard(ws))

        assert reply["connect"]["ping"] == 25
        assert ws.subprotocol == echoed


@pytest.mark.parametrize(
    ("offered", "query", "echoed"),
    [
        (None, "", None),
        (None, "?cf_protocol_version=v2&format=json", None),
        ([JSON_PROTOCOL], "?format=protobuf", JSON_PROTOCOL),
    ],
    ids=str,
)
async def test_everybody_else_is_answered_in_text_frames(node, offered, query, echoed):
    async with socket(node, offered, query) as ws:
        await ws.send(JSON.frame(HELLO).decode())
        text = await heard(ws)

        assert isinstance(text, str)
        assert JSON.messages(text.encode())[0]["connect"]["ping"] == 25
        assert ws.subprotocol == echoed


@pytest.mark.parametrize(
    "frame", [JSON.frame(HELLO).decode(), "", "\0", b"", b"\x05\x08\x01", JSON.frame(HELLO), b"\0" * 2_000]
)
async def test_what_is_not_protobuf_ends_a_protobuf_socket_with_a_farewell_that_it_can_read(node, frame):
    async with socket(node, [PROTOBUF_PROTOCOL]) as ws:
        await ws.send(frame)
        (farewell,) = PROTOBUF.messages(await heard(ws))
        with pytest.raises(ConnectionClosedError) as caught:
            await heard(ws)

    assert farewell == {"push": {"disconnect": {"code": 3501, "reason": "bad request"}}}
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (3501, "bad request")
