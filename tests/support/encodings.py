"""What a client writes and reads in each encoding, made and read by other means than the server's own.

Commands are dicts in the shape of JSON, and so are the messages that are read: a payload is what it means,
and what is zero or empty may be left out.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Protocol

from centrifuge.protocol import client_pb2 as official
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from csn_rt.wire import json_codec, protobuf_codec
from csn_rt.wire.protocol import Codec

Facts = dict[str, Any]


class Encoding(Protocol):
    codec: Codec

    def frame(self, *commands: Facts) -> bytes: ...

    def messages(self, frame: bytes) -> list[Facts]: ...


class Json:
    codec: Codec = json_codec

    def frame(self, *commands: Facts) -> bytes:
        return b"\n".join(json.dumps(command).encode() for command in commands)

    def messages(self, frame: bytes) -> list[Facts]:
        return [json.loads(line) for line in frame.split(b"\n")]


class Protobuf:
    """By the classes that centrifuge-python has of the whole protocol."""

    codec: Codec = protobuf_codec

    def frame(self, *commands: Facts) -> bytes:
        return b"".join(delimited(command_of(facts).SerializeToString()) for facts in commands)

    def messages(self, frame: bytes) -> list[Facts]:
        return [_facts(official.Reply.FromString(message)) for message in _split(frame)]


JSON = Json()
PROTOBUF = Protobuf()


def delimited(message: bytes) -> bytes:
    """With its length before it; at most 16 KiB."""
    size = len(message)
    return bytes([size] if size < 128 else [size & 127 | 128, size >> 7]) + message


def command_of(facts: Facts) -> Any:
    """A command of the official schema; what that does not know is left out."""
    written = {key: _with_bytes(value) if isinstance(value, dict) else value for key, value in facts.items()}
    return ParseDict(written, official.Command(), ignore_unknown_fields=True)


def lean(message: Any) -> Any:
    """Without what is zero or empty and may therefore be left out."""
    if isinstance(message, list):
        return [lean(item) for item in message]
    if not isinstance(message, dict):
        return message
    return {
        key: value if key == "data" else lean(value)
        for key, value in message.items()
        if key == "data" or value not in (0, "", [])
    }


def _with_bytes(request: Facts) -> Facts:
    if "data" not in request:
        return request
    return {**request, "data": b64encode(json.dumps(request["data"]).encode()).decode()}


def _split(frame: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(frame):
        size = shift = 0
        while True:
            byte = frame[start]
            start += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        assert start + size <= len(frame), "a length that is too large"
        yield frame[start : start + size]
        start += size


def _facts(message: Message) -> Facts:
    return {field.name: _fact(value) for field, value in message.ListFields()}


def _fact(value: Any) -> Any:
    if isinstance(value, Message):
        return _facts(value)
    if isinstance(value, bytes):
        return json.loads(value)
    if isinstance(value, str | int):
        return value
    return [_facts(item) for item in value]
